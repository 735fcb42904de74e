"""What a merge state is the sum of, as a file: encode JSON lines without any name or time.

The first line is the state, then one line per member by key. A state's members never change, so the
file of a state has the same bytes whenever it is written; a certificate names its SHA-256.
"""

from collections.abc import Sequence
from typing import Literal

from lineage.certificates.envelope import EvidenceError, Plain, encode, parse
from lineage.certificates.statement import LANE_MODULUS
from lineage.reader import Reader
from lineage.records import ContributorKey, Count, DecimalDigest, Sequence32, Sha256, Text

ORIGIN = "the lineage export"


class ExportedState(Plain):
    """The first line."""

    format: Literal["sift-lineage-state/1"] = "sift-lineage-state/1"
    state_seq: Sequence32
    state_sha256: Sha256
    base_id: Sha256
    members: Count
    linear_digest: DecimalDigest


class ExportedMember(Plain):
    """One member and what it contributed."""

    contributor_key: ContributorKey
    run_id: Text
    dataset_sha256: Sha256
    vector_sha256: Sha256
    mask_sha256: Sha256
    linear_digest: DecimalDigest


def export_state(reader: Reader, state_seq: int) -> bytes:
    """The file of one merge state. Raises LineageNotFoundError."""
    state = reader.state(state_seq)
    members = [ExportedMember(**row) for row in reader.exported_members(state_seq)]
    head = ExportedState(
        state_seq=state_seq,
        state_sha256=state.state_sha256,
        base_id=state.base_id,
        members=len(members),
        linear_digest=tuple(str(own.value) for own in reader.linear_digest(state.state_sha256)),
    )
    return b"".join(encode(line) for line in (head, *members))


def read_export(data: bytes) -> tuple[ExportedState, tuple[ExportedMember, ...]]:
    """The inverse of `export_state`. Raises EvidenceError for any other bytes."""
    first, *rest = data.splitlines(keepends=True) or [b""]
    head = parse(ExportedState, first, ORIGIN)
    members = tuple(parse(ExportedMember, line, ORIGIN) for line in rest)
    keys = [member.contributor_key for member in members]
    if keys != sorted(set(keys)) or len(keys) != head.members:
        raise _wrong("its members are not in order, not different, or not as many as it says")
    return head, members


def require_sum(head: ExportedState, members: Sequence[ExportedMember]) -> None:
    """Raise EvidenceError unless the members' digests sum to the state's, modulo 2^64."""
    lanes = len(head.linear_digest)
    if any(len(member.linear_digest) != lanes for member in members):
        raise _wrong("a member has another number of lanes than the state")
    for lane in range(lanes):
        total = sum(int(member.linear_digest[lane]) for member in members) % LANE_MODULUS
        if total != int(head.linear_digest[lane]):
            raise _wrong(f"lane {lane} of the members does not sum to the state's")


def _wrong(why: str) -> EvidenceError:
    return EvidenceError(
        f"{ORIGIN} does not hold: {why}.",
        remedy="ask the issuer for `sift lineage export` of the certified state.",
    )
