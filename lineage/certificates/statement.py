"""The certificate of an opt-out: an in-toto Statement v1, signed as a DSSE envelope.

Its subjects are files by SHA-256; its predicate says what was done and how it was checked. It is
evidence of a procedure that can be run again, not a proof about weights. It names the contributor
by keyed hash alone. docs/how-to/evidence.md describes it field by field; the JSON Schema is
docs/schemas/opt-out-certificate-1.schema.json.

in-toto Statement v1: https://github.com/in-toto/attestation, spec/v1/statement.md.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

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
from lineage.records import (
    ContributorKey,
    Count,
    DecimalDigest,
    Level,
    MemberMean,
    Sequence32,
    Sha256,
    Text,
)
from lineage.times import Utc
from sift_bytes import sha256_of

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "urn:sift-masks:opt-out-certificate:1"
"""Names the format; nothing is fetched from it."""

REPORT, PAGE, LINEAGE = "report.json", "report.html", "lineage.jsonl"
STATE, SERVED, MEMBERS = "merge-state.safetensors", "served-weights", "members-weights"
MODEL = "model/"
"""What stands before the name of each file of the model folder."""

LANE_MODULUS = 2**64


Seed = Annotated[int, Field(ge=0, lt=2**63)]


class DigestSet(Plain):
    """The digests of a subject."""

    sha256: Sha256
    """In small hexadecimal digits."""


class Subject(Plain):
    """One file, or one byte string, that the certificate is about."""

    name: Text
    """The file beside the certificate, or what the bytes are called."""
    digest: DigestSet
    """Of its bytes."""


class StatementOfOne(Plain):
    """An in-toto statement about one thing; what is said of it is for those that build on this."""

    model_config = ConfigDict(serialize_by_alias=True)

    type: Literal["https://in-toto.io/Statement/v1"] = Field(default=STATEMENT, alias="_type")
    subject: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=1)]


class Scope(Plain):
    """What was withdrawn: the contributor, or this many of their records."""

    contributor_key: ContributorKey
    """Keyed hash of the id."""
    records: Annotated[int, Field(ge=1)] | None
    """None: the contributor with all data."""


class State(Plain):
    """The merge state that is served, and what it takes to compute it again from the vectors."""

    state_seq: Sequence32
    """Its number."""
    state_sha256: Sha256
    """SHA-256 of its file."""
    members: Count
    """How many contributors are in it."""
    linear_digest: DecimalDigest
    """One decimal text a lane."""
    base_id: Sha256
    """Digest of the base model."""
    grid_bits: Annotated[int, Field(ge=8, le=60)]
    """Entries are multiples of 2^-grid_bits."""
    sign_seed: Seed
    """Draws the sign vector."""
    digest_seed: Seed
    """Draws the coefficients of the linear digest."""


class Change(Plain):
    """What the removal changed: before + change = after in every lane, modulo 2^64."""

    requests: Annotated[tuple[Text, ...], Field(min_length=1)]
    """All requests that were carried out together, this one among them."""
    state_before: Sha256
    """SHA-256 of the merge state before."""
    state_after: Sha256
    """SHA-256 of the one after."""
    members_before: Count
    """How many were in it."""
    members_after: Count
    """How many are."""
    digest_before: DecimalDigest
    """Linear digest before, one decimal text a lane."""
    digest_of_change: DecimalDigest
    """What was added: the negative of what was taken out."""
    digest_after: DecimalDigest
    """Linear digest after."""


class Model(Plain):
    """The registered version that serves the state."""

    name: Text
    """The registered model."""
    version: Sequence32
    """Its version."""
    served_sha256: Sha256
    """Over name, dtype, shape and bytes of each trained parameter, as anyone is served."""
    members_sha256: Sha256
    """The same of what members are served, each under their mask."""
    member_mean: MemberMean
    """A member's entries are the mean over who moved them (counted), or over all members."""


class CheckResult(Plain):
    """One check of exactness, and what was found. A certificate holds passed ones only."""

    name: Text
    """Which check."""
    passed: Literal[True]
    """Always: a check that fails stops the request."""
    found: Text
    """What was compared."""


class Verification(Plain):
    """How exactness was checked before anything was destroyed."""

    level: Level
    """`derived`: made from the state before by exact steps on files with the recorded hashes, its
    digest computed again; `rebuilt`: also added up anew from vectors of its members alone."""
    checks: Annotated[tuple[CheckResult, ...], Field(min_length=1)]
    """Each one made."""


class Destruction(Plain):
    """How many objects were destroyed, each looked for again and absent; the report lists them."""

    objects: Count
    """How many were destroyed."""
    absent: Count
    """How many were looked for and not found: the same number."""


class AuditHead(Plain):
    """The last entry of the workspace's audit log: cut off or written anew, it no longer fits."""

    seq: Annotated[int, Field(ge=1)]
    """Its number."""
    sha256: Sha256
    """Its digest, which covers every entry before it."""


class Certificate(Plain):
    """The predicate: one opt-out that was carried out. Null where nothing had been built."""

    sequence: Sequence32
    """1, 2, 3 and so on, over all certificates of a workspace."""
    previous: Sha256 | None
    """SHA-256 of the file of the certificate before; null for the first."""
    request_id: Text
    """Such as `opt-out-0001`."""
    scope: Scope
    """What was withdrawn."""
    received_at: Utc
    """When the request was received."""
    certified_at: Utc
    """Never before that of the certificate before."""
    code_version: Text
    """Version and commit of the code."""
    change: Change | None
    """Null where what was withdrawn was not in the merge."""
    state: State | None
    """The state that is served; null where nothing had been built."""
    model: Model | None
    """The registered version; null where nothing had been built."""
    verification: Verification | None
    """How exactness was checked; null where nothing had been built."""
    destruction: Destruction
    """What was destroyed."""
    audit_head: AuditHead | None
    """Null where the workspace keeps no audit log."""


class StatementOfFiles(Plain):
    """An in-toto statement about files; what is said of them is for those that build on this."""

    model_config = ConfigDict(serialize_by_alias=True)

    type: Literal["https://in-toto.io/Statement/v1"] = Field(default=STATEMENT, alias="_type")
    """The form of in-toto statements."""
    subject: Annotated[tuple[Subject, ...], Field(min_length=1)]
    """Files and byte strings, in the order of their names."""

    def digest(self, name: str) -> str | None:
        """The SHA-256 of the subject with this name, None where there is none."""
        return next((own.digest.sha256 for own in self.subject if own.name == name), None)


class Statement(StatementOfFiles):
    """The payload of the envelope."""

    model_config = ConfigDict(title="opt-out certificate")

    predicate_type: Literal["urn:sift-masks:opt-out-certificate:1"] = Field(
        default=PREDICATE, alias="predicateType"
    )
    """A name; nothing is fetched from it."""
    predicate: Certificate
    """What was done."""

    def model_files(self) -> dict[str, str]:
        """The files of the model folder: path in it → SHA-256."""
        return {
            own.name.removeprefix(MODEL): own.digest.sha256
            for own in self.subject
            if own.name.startswith(MODEL)
        }


def statement(subjects: dict[str, str], predicate: Certificate) -> Statement:
    """The statement that these subjects (name → SHA-256) are what the predicate says."""
    return Statement(subject=in_order(subjects), predicate=predicate)


def in_order(subjects: Mapping[str, str]) -> tuple[Subject, ...]:
    """Subjects (name → SHA-256) in the order of their names."""
    return tuple(
        Subject(name=name, digest=DigestSet(sha256=subjects[name])) for name in sorted(subjects)
    )


def sign(content: Statement, key: SigningKey) -> bytes:
    """The file of a certificate. Raises EvidenceError for a statement that contradicts itself."""
    _require_consistent(content, "the certificate")
    return key.sign(encode(content))


def read(data: bytes, keys: Sequence[PublicKey], origin: str) -> tuple[Statement, PublicKey]:
    """A certificate whose signature one of `keys` made, and that key. Raises EvidenceError."""
    payload, key = unsealed(data, keys, origin)
    content = parse(Statement, payload, origin)
    _require_consistent(content, origin)
    return content, key


def file_digest(data: bytes) -> str:
    """What the next certificate names as `previous`."""
    return sha256_of(data)


def _require_consistent(content: Statement, origin: str) -> None:
    """Raise EvidenceError unless subjects and predicate say the same, and the digests add up."""
    names = [own.name for own in content.subject]
    about = content.predicate
    state = about.state.state_sha256 if about.state else None
    served, shared = (
        (about.model.served_sha256, about.model.members_sha256) if about.model else (None, None)
    )
    rules = {
        "its subjects are not in order or not different": names == sorted(set(names)),
        "it names no report": {REPORT, PAGE} <= set(names),
        "its merge state is not its subject": content.digest(STATE) == state,
        "its served weights are not its subject": content.digest(SERVED) == served,
        "its members' weights are not its subject": content.digest(MEMBERS) == shared,
        "its linear digests do not add up": about.change is None or adds_up(about.change),
        "an object was not proven absent": about.destruction.objects == about.destruction.absent,
        "the first alone has none before it": (about.sequence == 1) == (about.previous is None),
        "it is dated before its request": about.certified_at >= about.received_at,
    }
    for wrong, holds in rules.items():
        if not holds:
            raise EvidenceError(
                f"{origin} contradicts itself: {wrong}.",
                remedy="do not rely on it; ask the issuer for a certificate of the whole request.",
            )


def adds_up(change: Change) -> bool:
    """Whether before + change = after, modulo 2^64, in every lane."""
    lanes = (change.digest_before, change.digest_of_change, change.digest_after)
    return len({len(own) for own in lanes}) == 1 and all(
        (int(before) + int(own)) % LANE_MODULUS == int(after)
        for before, own, after in zip(*lanes, strict=True)
    )
