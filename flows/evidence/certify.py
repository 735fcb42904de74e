"""Ending an opt-out: the report, then the certificate that signs it, then MLflow's copies.

The certificate is written last and once. A killed run that finds it knows that the report is whole
and keeps both: one certificate per request, however often the step is tried.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sift_bytes
from flows.erasure.results import Purge, Registered, Removal, Results
from flows.errors import FlowError
from flows.evidence.certificates import CERTIFICATE, Head, head, recorded_heads
from flows.evidence.report_contents import write_report
from flows.models import checks
from flows.training.environment import code_version
from flows.workspace.keyring import Keys
from flows.workspace.workspace import Workspace
from lineage import MergeStateRecord, ModelVersionRecord, RequestRecord
from lineage.certificates.chain import Link, read_certificate
from lineage.certificates.envelope import EvidenceError
from lineage.certificates.levels import check_report
from lineage.certificates.statement import (
    LINEAGE,
    MEMBERS,
    MODEL,
    PAGE,
    REPORT,
    SERVED,
    STATE,
    AuditHead,
    Certificate,
    Change,
    CheckResult,
    Destruction,
    Model,
    Scope,
    State,
    Statement,
    Verification,
    sign,
    statement,
)
from lineage.reader import Reader
from lineage.state_export import export_state
from sift_bytes import file_sha256, sha256_of


class UnfitCertificateError(FlowError):
    """The certificate that a killed run left of one request cannot be taken: it is of it alone."""


@dataclass(frozen=True)
class Ended:
    """A request's report and certificate as they are on disk."""

    folder: Path
    sequence: int
    sha256: str
    at: datetime


def end_request(workspace: Workspace, request_id: str) -> Ended:
    """Write the report and the certificate of a request, or find them as a killed run left them.

    Its time is never before that of the certificate before or of the request, whatever the clock
    says. Raises UsageError where there is no signing key, UnfitCertificateError where what a killed
    run left was altered.
    """
    signer = Keys(workspace.root).signing_key()
    link = _written(workspace, request_id)
    if link is None:
        with workspace.lineage.reader() as reader:
            received = reader.request(request_id).received_at
        last = head(workspace)
        at = max(datetime.now(UTC), received, last.at or received)
        folder = write_report(workspace, request_id, at)
        predicate = _predicate(workspace, request_id, last, at)
        data = sign(statement(_subjects(workspace, predicate, folder), predicate), signer)
        sift_bytes.write_atomically(folder / CERTIFICATE, data)
        ended = Ended(folder, predicate.sequence, sha256_of(data), at)
    else:
        folder = workspace.reports / request_id
        ended = Ended(folder, link.sequence, link.sha256, link.at)
    _attach(workspace, request_id, folder)
    return ended


def _written(workspace: Workspace, request_id: str) -> Link[Statement] | None:
    """The certificate that a killed run left, still fit to be the next of the chain."""
    path = workspace.reports / request_id / CERTIFICATE
    if not path.exists():
        return None
    numbers = {one.sequence for one in recorded_heads(workspace).values()}
    try:
        link = read_certificate(path.read_bytes(), Keys(workspace.root).ring(), str(path))
        check_report(link.content, path.parent)
    except EvidenceError as error:
        if len(numbers) < max(numbers, default=0):
            remedy = f"put {path.parent} back from a backup: a later certificate follows it."
            raise UnfitCertificateError(error.facts, remedy=remedy) from None
        raise _unfit(path, error.facts) from None
    if link.sequence in numbers:
        # It could not be read while another request ended, which took its number.
        raise _unfit(path, f"{path} has a number that another certificate has by now.")
    return link


def _unfit(path: Path, facts: str) -> UnfitCertificateError:
    return UnfitCertificateError(
        facts,
        remedy=f"no lineage knows this file and none follows it: `rm {path}`, and a new one is "
        "written; whoever was given it gets the new one.",
    )


def _predicate(workspace: Workspace, request_id: str, last: Head, at: datetime) -> Certificate:
    with workspace.lineage.reader() as reader:
        request = reader.request(request_id)
        results = Results.of(request_id, reader.steps(request_id))
        objects = reader.purge_objects(request_id)
        model, state = _served(workspace, reader, results.get(Registered))
        entry = reader.audit_head()
    shared = results.need(Purge).kept_because_shared
    destroyed = [row for row in objects if row.locator not in shared]
    return Certificate(
        sequence=last.sequence + 1,
        previous=last.sha256,
        request_id=request_id,
        scope=_scope(request),
        received_at=request.received_at,
        certified_at=at,
        code_version=code_version(),
        change=_change(results.need(Removal)),
        state=state,
        model=model,
        verification=_verification(results.get(checks.Verification)),
        destruction=Destruction(
            objects=len(destroyed), absent=sum(row.absent_at is not None for row in destroyed)
        ),
        audit_head=AuditHead(seq=entry.seq, sha256=entry.sha256),
    )


def _scope(request: RequestRecord) -> Scope:
    records = None if request.records is None else len(request.records)
    return Scope(contributor_key=request.contributor_key, records=records)


def _served(
    workspace: Workspace, reader: Reader, registered: Registered | None
) -> tuple[Model | None, State | None]:
    """The version that the request registered, and the merge state it serves."""
    if registered is None:
        return None, None
    version = reader.model_version(registered.model, registered.version)
    state = certified_state(workspace, reader, reader.state(version.state_seq))
    model = Model(
        name=version.name,
        version=version.version,
        served_sha256=version.served_sha256,
        members_sha256=version.members_sha256,
        member_mean=workspace.settings.exactness.member_mean,
    )
    return model, state


def certified_state(workspace: Workspace, reader: Reader, record: MergeStateRecord) -> State:
    """A merge state as a certificate names it."""
    settings = workspace.settings.exactness
    return State(
        state_seq=record.state_seq,
        state_sha256=record.state_sha256,
        members=len(reader.members(record.state_seq)),
        linear_digest=tuple(str(own.value) for own in reader.linear_digest(record.state_sha256)),
        base_id=record.base_id,
        grid_bits=settings.grid_bits,
        sign_seed=settings.sign_seed,
        digest_seed=settings.digest_seed,
    )


def _change(removal: Removal) -> Change | None:
    if not removal.was_member:
        return None
    return Change.model_validate_json(removal.model_dump_json(include=set(Change.model_fields)))


def _verification(found: checks.Verification | None) -> Verification | None:
    if found is None:
        return None
    checks = tuple(CheckResult(**check.model_dump()) for check in found.checks)
    return Verification(level=found.level, checks=checks)


def _subjects(workspace: Workspace, about: Certificate, folder: Path) -> dict[str, str]:
    subjects = {name: file_sha256(folder / name) for name in (REPORT, PAGE)}
    if about.state is None or about.model is None:
        return subjects
    with workspace.lineage.reader() as reader:
        subjects[LINEAGE] = sha256_of(export_state(reader, about.state.state_seq))
        version = reader.model_version(about.model.name, about.model.version)
    if _is_there(workspace, version):
        served = workspace.mlflow.reading.served_folder(version.version)
        for path in sorted(path for path in served.rglob("*") if path.is_file()):
            subjects[MODEL + path.relative_to(served).as_posix()] = file_sha256(path)
    model = about.model
    digests = {SERVED: model.served_sha256, MEMBERS: model.members_sha256}
    digests[STATE] = about.state.state_sha256
    return subjects | digests


def _is_there(workspace: Workspace, version: ModelVersionRecord) -> bool:
    """Whether MLflow has a version: a request that overtook this one destroyed it, or it is lost.

    Of a lost one `sift verify` and `sift audit` say so; who has left need not wait for it.
    """
    return version.destroyed_at is None and version.version in workspace.mlflow.reading.versions()


def _attach(workspace: Workspace, request_id: str, folder: Path) -> None:
    """Copies beside the version that the request registered, as long as that version exists.

    They name the contributor by key only. A later opt-out that destroys the version destroys these
    copies with it; the originals in `reports/` stay.
    """
    with workspace.lineage.reader() as reader:
        registered = Results.of(request_id, reader.steps(request_id)).get(Registered)
        if registered is None:
            return
        version = reader.model_version(registered.model, registered.version)
    if _is_there(workspace, version):
        files = [folder / name for name in (REPORT, PAGE, CERTIFICATE)]
        workspace.mlflow.registration.attach(version.version, files, f"opt-outs/{request_id}")
