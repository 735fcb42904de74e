"""The certificates a workspace has: one chain, kept in `reports/` and known to lineage.

A folder there is of a request, with its certificate, or of a merge state that was rebuilt, with the
attestation of that; both are links of the chain.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flows.erasure.results import Certified, Results
from flows.workspace.keyring import Keys
from flows.workspace.workspace import Workspace
from lineage import Anchor, opt_out
from lineage.certificates.chain import Chain, certificates_in, check_chain, read_link
from lineage.certificates.envelope import EvidenceError
from lineage.certificates.levels import check_report
from lineage.certificates.statement import Statement
from lineage.reader import Reader
from sift_bytes import sha256_of

CERTIFICATE, ATTESTATION = "certificate.dsse.json", "attestation.dsse.json"
_REBUILD = "rebuild-"


@dataclass(frozen=True)
class Head:
    """The end of the chain of certificates."""

    sequence: int = 0
    sha256: str | None = None
    at: datetime | None = None


def certificates(workspace: Workspace) -> dict[str, bytes]:
    """The file of each certificate and attestation of the workspace, by request or rebuild."""
    return {name: _read(workspace, name) for name in _in_chain(workspace)}


def rebuild_name(state_seq: int) -> str:
    """What the folder of the rebuild of a merge state is called."""
    return f"{_REBUILD}{state_seq:04}"


def _in_chain(workspace: Workspace) -> list[str]:
    found = (
        path for name in (CERTIFICATE, ATTESTATION) for path in workspace.reports.glob(f"*/{name}")
    )
    return sorted(path.parent.name for path in found)


def _file(workspace: Workspace, name: str) -> Path:
    link = ATTESTATION if name.startswith(_REBUILD) else CERTIFICATE
    return workspace.reports / name / link


def _read(workspace: Workspace, name: str) -> bytes:
    return _file(workspace, name).read_bytes()


def check_certificates(workspace: Workspace) -> Chain:
    """The chain of the workspace's certificates: none lost, each as lineage recorded it.

    And each report is the one that its certificate signs. Raises EvidenceError.
    """
    found = certificates(workspace)
    with workspace.lineage.reader():  # those within share its opening
        _check_recorded(workspace, found)
    if not found:
        return ()
    links = check_chain(list(found.values()), Keys(workspace.root).ring())
    for link in certificates_in(links):
        check_report(link.content, workspace.reports / link.content.predicate.request_id)
    return links


def _check_recorded(workspace: Workspace, found: Mapping[str, bytes]) -> None:
    recorded = recorded_heads(workspace)
    for name in sorted(found.keys() | recorded.keys()):
        if name not in found:
            raise _broken(workspace, name, "is missing, and lineage says that it was written")
        if name not in recorded and not _is_about_to_end(workspace, name):
            raise _broken(workspace, name, "is not known to lineage")
        if name in recorded and sha256_of(found[name]) != recorded[name].sha256:
            raise _broken(workspace, name, f"is not {recorded[name].sha256}, as lineage recorded")


def audit_anchors(workspace: Workspace) -> list[Anchor]:
    """The entry of the audit log that each certificate names: signed, so it cannot be moved.

    Raises EvidenceError where a certificate is not as signed.
    """
    found = []
    for name, data in certificates(workspace).items():
        link = read_link(data, Keys(workspace.root).ring(), f"the certificate of {name}")
        if (noted := link.content.predicate.audit_head) is not None:
            source = f"certificate {link.sequence}"
            found.append(Anchor(seq=noted.seq, sha256=noted.sha256, source=source))
    return found


def _broken(workspace: Workspace, name: str, what: str) -> EvidenceError:
    path = _file(workspace, name)
    return EvidenceError(
        f"The certificate of {name} {what}.",
        remedy=f"restore {path} or the lineage store, whichever was changed, from a backup.",
    )


def _is_about_to_end(workspace: Workspace, name: str) -> bool:
    """Whether a killed run may have left a certificate that is not recorded yet."""
    with workspace.lineage.reader() as reader:
        if name.startswith(_REBUILD):
            return _is_unrecorded_rebuild(reader, name)
        known = name in {row.request_id for row in reader.requests()}
        return known and reader.next_step(name) == opt_out.STEPS[-1]


def head(workspace: Workspace) -> Head:
    """The last certificate, by lineage; or by its file, where a killed run has not recorded it.

    An unrecorded file that is not as signed, in the folder of a request that is open, is none: that
    request is stopped by it (`flows.evidence.certify.end_request`) and no other. Raises
    EvidenceError for one that no open request will meet.
    """
    with workspace.lineage.reader():  # those within share its opening
        recorded = recorded_heads(workspace)
        heads = [*recorded.values(), *_unrecorded(workspace, recorded)]
    return max(heads, key=lambda head: head.sequence, default=Head())


def recorded_heads(workspace: Workspace) -> dict[str, Head]:
    """What lineage knows of certificates, by request."""
    found = {}
    with workspace.lineage.reader() as reader:
        for request in reader.requests():
            steps = reader.steps(request.request_id)
            if certified := Results.of(request.request_id, steps).get(Certified):
                found[request.request_id] = Head(
                    certified.sequence, certified.certificate, steps[-1].done_at
                )
        for row in reader.rebuilds():
            if row.sequence is not None:
                name = rebuild_name(row.state_seq)
                found[name] = Head(row.sequence, row.certificate, row.rebuilt_at)
    return found


def _unrecorded(workspace: Workspace, recorded: Collection[str]) -> Iterator[Head]:
    ring = Keys(workspace.root).ring()
    for name in _in_chain(workspace):
        if name in recorded:
            continue
        try:
            link = read_link(_read(workspace, name), ring, f"the certificate of {name}")
            if isinstance(link.content, Statement):
                check_report(link.content, workspace.reports / name)
        except (EvidenceError, OSError):
            if not _is_open(workspace, name):
                raise
        else:
            yield Head(link.sequence, link.sha256, link.at)


def _is_open(workspace: Workspace, name: str) -> bool:
    with workspace.lineage.reader() as reader:
        if name.startswith(_REBUILD):
            return _is_unrecorded_rebuild(reader, name)
        known = name in {row.request_id for row in reader.requests()}
        return known and reader.next_step(name) is not None


def _is_unrecorded_rebuild(reader: Reader, name: str) -> bool:
    """Whether a killed audit may have left this attestation: the next one records it."""
    state, recorded = reader.current_state(), {row.state_seq for row in reader.rebuilds()}
    states = range(1, state.state_seq + 1) if state else range(0)
    return name in {rebuild_name(number) for number in states if number not in recorded}
