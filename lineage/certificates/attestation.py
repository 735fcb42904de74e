"""The attestation of a rebuild: a link in the chain of certificates, signed as they are.

An opt-out of many members is derived: its merge is the one before less what left, by exact steps.
Later an audit adds the vectors of all members up anew, and nothing else. Where the bytes are those
of the current state, it says so here: that state, and by it every removal before it, is rebuilt.
"""

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import ConfigDict, Field

from lineage.certificates.envelope import (
    EvidenceError,
    Plain,
    PublicKey,
    SigningKey,
    encode,
    parse,
    unsealed,
)
from lineage.certificates.statement import (
    LINEAGE,
    STATE,
    AuditHead,
    State,
    StatementOfFiles,
    in_order,
)
from lineage.records import Sequence32, Sha256, Text
from lineage.times import Utc

PREDICATE: Final = "urn:sift-masks:rebuild-attestation:1"


class Attestation(Plain):
    """The predicate: the merge state was added up anew from its members' vectors alone."""

    sequence: Sequence32
    """Its number among all certificates of a workspace."""
    previous: Sha256 | None
    """SHA-256 of the file of the certificate before; null for the first."""
    attested_at: Utc
    """Never before that of the certificate before."""
    code_version: Text
    """Version and commit of the code."""
    rebuilt_from: Literal["stored vectors"]
    """What was added up."""
    state: State
    """The merge state, which has the same bytes."""
    audit_head: AuditHead | None
    """Null where the workspace keeps no audit log."""


class AttestationStatement(StatementOfFiles):
    """The payload of the envelope: its subjects are the merge state and its lineage export."""

    model_config = ConfigDict(title="rebuild attestation")

    predicate_type: Literal["urn:sift-masks:rebuild-attestation:1"] = Field(
        default=PREDICATE, alias="predicateType"
    )
    predicate: Attestation


def sign(predicate: Attestation, export_sha256: str, key: SigningKey) -> bytes:
    """The file of an attestation; `export_sha256` is that of the state's lineage export."""
    subjects = {STATE: predicate.state.state_sha256, LINEAGE: export_sha256}
    content = AttestationStatement(subject=in_order(subjects), predicate=predicate)
    _require_consistent(content, "the attestation")
    return key.sign(encode(content))


def read(
    data: bytes, keys: Sequence[PublicKey], origin: str
) -> tuple[AttestationStatement, PublicKey]:
    """An attestation whose signature one of `keys` made, and that key. Raises EvidenceError."""
    payload, key = unsealed(data, keys, origin)
    content = parse(AttestationStatement, payload, origin)
    _require_consistent(content, origin)
    return content, key


def _require_consistent(content: AttestationStatement, origin: str) -> None:
    about = content.predicate
    rules = {
        "it is not about a merge state and its members": [own.name for own in content.subject]
        == sorted((LINEAGE, STATE)),
        "its merge state is not its subject": content.digest(STATE) == about.state.state_sha256,
        "the first alone has none before it": (about.sequence == 1) == (about.previous is None),
    }
    for wrong, holds in rules.items():
        if not holds:
            raise EvidenceError(
                f"{origin} contradicts itself: {wrong}.",
                remedy="do not rely on it; ask the issuer for the file as it was signed.",
            )
