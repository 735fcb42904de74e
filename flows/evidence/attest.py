"""The audit's rebuild of a derived merge, and its attestation in the chain of certificates.

The attestation is written first and recorded in lineage last. A killed run leaves at most a file
that the next one finds and records.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

import sift_bytes
from flows.evidence.certificates import ATTESTATION, head, rebuild_name
from flows.evidence.certify import certified_state
from flows.models.rebuild import (
    Rebuild,
    forget_rebuild,
    is_same,
    rebuild,
    require_no_alarm,
)
from flows.models.verify import rebuilt_at_once
from flows.training.environment import code_version
from flows.workspace.current_state import current_state_or_none
from flows.workspace.keyring import Keys
from flows.workspace.workspace import Workspace
from lineage import Member, MergeStateRecord, RebuildRecord
from lineage.certificates.attestation import Attestation, sign
from lineage.certificates.chain import Entry, Link, read_link
from lineage.certificates.envelope import EvidenceError
from lineage.certificates.statement import AuditHead
from lineage.state_export import export_state

_log = logging.getLogger(__name__)


def rebuild_and_attest(workspace: Workspace) -> Rebuild | None:
    """Go on with the rebuild of the current state, for `verify.rebuild_minutes`, and attest it.

    None where there is nothing to do: no state, or one that was attested, is rebuilt whenever it is
    made, or whose vectors are not kept. Where other bytes came out it begins anew, in case a
    machine erred. Raises RebuiltOtherwiseError as long as they are others; AlteredError, where a
    file is not as recorded.
    """
    state = current_state_or_none(workspace)
    if state is None:
        return None
    with workspace.lineage.reader() as reader:
        members = reader.members(state.state_seq)
        known = reader.rebuild(state.state_seq)
    if not _is_to_rebuild(workspace, members) or (known and is_same(state, known)):
        return None
    if known is not None:
        forget_rebuild(workspace, holding=known.rebuilt_sha256)
    found = rebuild(workspace, _for_minutes(workspace.settings.verify.rebuild_minutes))
    if found.rebuilt_sha256 is not None:
        same = found.is_the_state
        row = _attested(workspace, state) if same else _alarm(state, found.rebuilt_sha256)
        with workspace.lineage.writer() as recorder:
            recorder.add(row)
        if same:
            forget_rebuild(workspace)
    else:
        _log.info("%d of %d members are in; the next audit goes on.", found.done, found.members)
    require_no_alarm(workspace, state)
    return found


def _is_to_rebuild(workspace: Workspace, members: list[Member]) -> bool:
    return not workspace.keeps_masks_only and len(members) > rebuilt_at_once(workspace, members)


def _for_minutes(minutes: float) -> Callable[[], bool]:
    ends = time.monotonic() + 60 * minutes
    return lambda: time.monotonic() < ends


def _alarm(state: MergeStateRecord, rebuilt_sha256: str) -> RebuildRecord:
    return RebuildRecord(
        state_seq=state.state_seq, rebuilt_sha256=rebuilt_sha256, rebuilt_at=datetime.now(UTC)
    )


def _attested(workspace: Workspace, state: MergeStateRecord) -> RebuildRecord:
    """The attestation of this state, as a killed run left it or written now."""
    link = _written(workspace, state) or _write(workspace, state)
    return RebuildRecord(
        state_seq=state.state_seq,
        rebuilt_sha256=state.state_sha256,
        rebuilt_at=link.at,
        sequence=link.sequence,
        certificate=link.sha256,
    )


def _written(workspace: Workspace, state: MergeStateRecord) -> Link[Entry] | None:
    path = workspace.reports / rebuild_name(state.state_seq) / ATTESTATION
    if not path.is_file():
        return None
    try:
        link = read_link(path.read_bytes(), Keys(workspace.root).ring(), str(path))
    except EvidenceError:
        return None  # nobody knows of it yet: it is written anew
    about = link.content.predicate
    if not isinstance(about, Attestation) or about.state.state_sha256 != state.state_sha256:
        return None
    return link


def _write(workspace: Workspace, state: MergeStateRecord) -> Link[Entry]:
    keys, last = Keys(workspace.root), head(workspace)
    with workspace.lineage.reader() as reader:
        entry = reader.audit_head()
        export = sift_bytes.sha256_of(export_state(reader, state.state_seq))
        certified = certified_state(workspace, reader, state)
    now = datetime.now(UTC)
    predicate = Attestation(
        sequence=last.sequence + 1,
        previous=last.sha256,
        attested_at=max(now, last.at or now),
        code_version=code_version(),
        rebuilt_from="stored vectors",
        state=certified,
        audit_head=AuditHead(seq=entry.seq, sha256=entry.sha256),
    )
    data = sign(predicate, export, keys.signing_key())
    path = workspace.reports / rebuild_name(state.state_seq) / ATTESTATION
    path.parent.mkdir(exist_ok=True)
    sift_bytes.write_atomically(path, data)
    return read_link(data, keys.ring(), str(path))
