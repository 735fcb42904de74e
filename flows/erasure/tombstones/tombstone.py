"""What leaves, written down for places that no backup of the workspace reaches.

A backup from before an opt-out knows nothing of it. So each opt-out leaves a small file outside,
before anything is destroyed: who left, by keyed hash; what had been approved; and where the audit
log stood. It names nobody, and carries a code made with the workspace's secret: nobody else can
make the workspace remove a contributor.
"""

import hmac
import json
import re
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from flows.data.look_alikes import erased_likenesses
from flows.errors import FlowError
from flows.workspace.identity import read_secret
from flows.workspace.workspace import Workspace
from lineage import RequestRecord
from lineage.certificates.statement import AuditHead
from lineage.opt_out import APPROVED
from lineage.records import ContributorKey, Sha256
from lineage.times import Utc
from sift_bytes import sha256_of

FORMAT = "sift-departure/1"
_NAME = re.compile(r"[0-9a-f]{32}-[0-9]{8}T[0-9]{12}Z-(all|[0-9a-f]{16})\.departure")


class DepartureError(FlowError):
    """A note on an opt-out is not what this workspace wrote."""


class Approval(BaseModel):
    """Who approved the request, when and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    actor: str
    reason: str
    decided_at: Utc


class Departure(BaseModel):
    """One opt-out that has begun to destroy. `records` are keyed hashes; None: all data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request_id: str
    contributor_key: ContributorKey
    records: tuple[Sha256, ...] | None
    basis: str
    jurisdiction: str | None
    filed_by: str | None
    received_at: Utc
    approvals: tuple[Approval, ...]
    audit_head: AuditHead
    likenesses: tuple[ContributorKey, ...] = ()
    """What the id looked like, as keyed hashes (`flows/workspace/likeness.py`)."""

    @property
    def file_name(self) -> str:
        """The name of its file: the same however often it is written."""
        return _file_name(self.contributor_key, self.received_at, self.records)


def departure_of(workspace: Workspace, request_id: str) -> Departure:
    """What to remember of a request that is about to destroy."""
    with workspace.lineage.reader() as reader:
        request = reader.request(request_id)
        approvals = reader.process.approvals(request_id)
        head = reader.audit_head()
        likenesses = erased_likenesses(workspace, reader, request.contributor_key)
    return Departure(
        request_id=request_id,
        contributor_key=request.contributor_key,
        records=keyed_records(workspace, request.records),
        basis=request.basis,
        jurisdiction=request.jurisdiction,
        filed_by=request.filed_by,
        received_at=request.received_at,
        approvals=tuple(
            Approval(actor=row.actor, reason=row.reason, decided_at=row.decided_at)
            for row in approvals
            if row.decision == APPROVED
        ),
        audit_head=AuditHead(seq=head.seq, sha256=head.sha256),
        likenesses=() if request.records else tuple(row.likeness for row in likenesses),
    )


def file_name_of(workspace: Workspace, request: RequestRecord) -> str:
    """The name that the note of a request has: what it withdraws, whose, and received when."""
    records = keyed_records(workspace, request.records)
    return _file_name(request.contributor_key, request.received_at, records)


def keyed_records(workspace: Workspace, records: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Hashes of records under the secret: a short text could be guessed from a plain hash."""
    if records is None:
        return None
    secret = read_secret(workspace.root)
    return tuple(_code(secret, f"record\n{record}") for record in records)


def to_bytes(workspace: Workspace, departure: Departure) -> bytes:
    """The file: one line of JSON, one line with its code."""
    text = json.dumps(departure.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    return seal(workspace.root, text)


def from_bytes(workspace: Workspace, data: bytes, where: str) -> Departure:
    """Read such a file. Raises DepartureError where it is not as this workspace wrote it."""
    try:
        return Departure.model_validate_json(unseal(workspace.root, data))
    except (ValueError, ValidationError):
        raise DepartureError(
            f"The note {where} is not what this workspace wrote of an opt-out.",
            remedy="it is another workspace's, or was altered: restore it from a copy, or take it "
            "away once you know which opt-out it was of.",
        ) from None


def seal(root: Path, text: str) -> bytes:
    """One line of text, and one line with its code, which only who has the secret can make."""
    return f"{text}\n{_code(read_secret(root), text)}\n".encode()


def unseal(root: Path, data: bytes) -> str:
    """The text of what `seal` made. Raises ValueError for anything else."""
    text, code, rest = data.decode().split("\n")
    expected = _code(read_secret(root), text)
    if rest or not hmac.compare_digest(code.encode(), expected.encode()):
        raise ValueError("not sealed with this secret")
    return text


def own_folder(root: Path) -> str:
    """The name of the folder for one workspace's notes, where several share a place.

    A code that says nothing else; copies of the workspace have it too.
    """
    return _code(read_secret(root), "workspace")[:32]


def is_file_name(name: str) -> bool:
    """Whether a file may be such a note, by its name."""
    return _NAME.fullmatch(name) is not None


def _file_name(key: str, received_at: datetime, records: tuple[str, ...] | None) -> str:
    what = "all" if records is None else sha256_of("\n".join(records).encode())[:16]
    return f"{key}-{received_at:%Y%m%dT%H%M%S%f}Z-{what}.departure"


def _code(secret: bytes, text: str) -> str:
    # A contributor's id has no line break, so no contributor key is ever such a code.
    return hmac.new(secret, f"{FORMAT}\n{text}".encode(), "sha256").hexdigest()
