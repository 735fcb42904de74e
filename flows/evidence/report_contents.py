"""The compliance report of an opt-out: what was asked, found, removed, checked, and not claimed.

Everything in it is read from lineage; `flows/evidence/report.py` has its form,
`flows/evidence/report_page.py` its page.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import sift_bytes
from flows.erasure.results import (
    Approval,
    Evaluated,
    Found,
    Purge,
    Quality,
    Registered,
    Removal,
    Results,
)
from flows.erasure.tombstones.copies import known_copies
from flows.erasure.tombstones.places import origin_of, was_told
from flows.erasure.tombstones.tombstone import Departure, departure_of
from flows.evidence.report import (
    FORMAT,
    Comparison,
    Deadline,
    Decision,
    Destroyed,
    Dropped,
    Moment,
    Recipient,
    Report,
    Server,
)
from flows.evidence.report_page import page
from flows.models.checks import Verification
from flows.workspace.served_versions import servers
from flows.workspace.workspace import Workspace
from lineage import BackupRecord, PurgeObjectRecord, RequestRecord, TaskVectorRecord, opt_out
from lineage.reader import Reader

_GONE = (
    "The contribution of this contributor to the merge is gone, as if it had never been made: the "
    "merge state is {what} the sum of the remaining contributors' task vectors{how}"
)
_RECORDS_GONE = (
    "The contribution of these records to the merge is gone, as if they had never been given: the "
    "contributor was finetuned again on the remaining rows alone, and the merge state is {what} "
    "the sum of this and the other contributors' task vectors{how}"
)
_REBUILT = {"what": "byte for byte", "how": ", rebuilt from the stored vectors alone."}
_DERIVED = {
    "what": "by exact arithmetic and the linear digests in lineage",
    "how": ". It is derived: what left was subtracted in integers from a state with the recorded "
    "hash, as a vector with the recorded hash and digests. It was not rebuilt from the vectors of "
    "who stays alone; the first command under 'To repeat' does it, and so does the audit, which "
    "then signs an attestation into the chain of certificates.",
}
_DERIVED_FROM_MASKS = _DERIVED | {
    "how": ". It is derived: what left was subtracted in integers from a state with the recorded "
    "hash, as a vector with the recorded hash and digests. It was not rebuilt from the vectors of "
    "who stays alone, which are not kept here; the first command under 'To repeat' does it.",
}
_ABSENT = (
    "Every object listed under 'destroyed' was looked for again after its destruction and was "
    "absent."
)
NOT_CLAIMED = (
    "That a fact is gone: another contributor may have given the same one, and the public base "
    "model may know it.",
    "Copies outside this workspace and its DVC remote: backups, exports, downloads. A copied "
    "folder, or a backup restored where nobody told this workspace of it, is not known here.",
    "Programs other than `sift serve` that loaded a model: they hold it until they load another.",
    "The operating system's free disk blocks.",
    "git history keeps digests and a keyed hash of the contributor, never rows, vectors or the "
    "name. Lineage keeps the same, and the keyed hashes of single records that a request named, by "
    "which they are refused if they come in again.",
    "This is evidence of a procedure that can be run again, not a proof about weights.",
)
_DONE_AGAIN = (
    "This opt-out had been carried out before, as {request} (entry {audit_entry} of the audit log "
    "of then). A backup that was restored since had brought back what it destroyed, so it was "
    "carried out again, with the same approvals: this report is of the second time."
)
_BACKUP = (
    "Pending: {backup} of {day:%Y-%m-%d %H:%M} UTC at {place} still holds what left. {told} To "
    "end that: {end}"
)
_COPY = (
    "Pending: the copy of this workspace at {where}, holds what left until it has carried out this "
    "opt-out, too. To end that, there: sift opt-out run"
)
_TOLD = "The opt-out is noted beside it, and is carried out again where it is restored."
_OF_THE_ORIGIN = "It is of the workspace that this one is a copy of, which is not told."
_UNTOLD = "It was out of reach, and does not know of the opt-out: do not restore it."
_VERIFY = "sift verify"
_REBUILD = "sift verify --rebuild"
_REBUILD_BY_FINETUNING = "sift verify --rederive"
REPEAT = (
    "sift verify reports/{request_id}/certificate.dsse.json",
    'sift lineage sql "SELECT * FROM digest_check ORDER BY state_seq DESC, lane LIMIT 2"',
    "sift lineage sql \"SELECT * FROM purge_evidence WHERE request_id = '{request_id}'\"",
)


def write_report(workspace: Workspace, request_id: str, at: datetime) -> Path:
    """Write `reports/<request>/report.json` and `report.html`; the folder.

    `at` is the moment of the step `reported`, which ends the timeline. The report names the
    contributor by key only. The HTML is one file without scripts or links, and everything in it is
    escaped.
    """
    report = collect(workspace, request_id, at)
    folder = workspace.reports / request_id
    sift_bytes.write_atomically(folder / "report.html", page(report).encode())
    sift_bytes.write_atomically(folder / "report.json", _as_json(report))
    return folder


def read_report(workspace: Workspace, request_id: str) -> Report:
    """The report of a request that has ended."""
    path = workspace.reports / request_id / "report.json"
    return Report.model_validate_json(path.read_bytes())


def collect(workspace: Workspace, request_id: str, at: datetime) -> Report:
    """All that lineage knows of a request that was carried out, as one report."""
    with workspace.lineage.reader() as reader:
        request = reader.request(request_id)
        steps = reader.steps(request_id)
        objects = reader.purge_objects(request_id)
        vectors = reader.impact(request.contributor_key, request.records).vectors
        approval = _approval(reader, request)
        deadlines = _deadlines(reader, request, at)
        recipients = _recipients(reader, request)
    results = Results.of(request_id, steps)
    verification, removal = results.get(Verification), results.need(Removal)
    evaluated = results.get(Evaluated)
    shared = results.need(Purge).kept_because_shared
    return Report(
        format=FORMAT,
        request_id=request_id,
        contributor_key=request.contributor_key,
        records=None if request.records is None else len(request.records),
        basis=request.basis,
        received_at=request.received_at,
        written_at=at,
        model=workspace.settings.model.name,
        verdict=_verdict(verification, removal, request.records is not None),
        timeline=[
            *(Moment(step=step.step, at=step.done_at) for step in steps),
            Moment(step=opt_out.STEPS[-1], at=at),
        ],
        deadlines=deadlines,
        approval=approval,
        servers=_servers(workspace, results.need(Found).model_versions),
        recipients=recipients,
        found=results.need(Found),
        removal=removal,
        verification=verification,
        comparison=_comparison(verification),
        audit=evaluated.audit if evaluated else None,
        quality=_quality(evaluated) if evaluated else None,
        registered=results.get(Registered),
        destroyed=[_destroyed(row) for row in objects if row.locator not in shared],
        kept_because_shared=shared,
        not_kept_after_merge=_dropped(vectors),
        claimed=[
            _claim(request.records is not None, _shown(workspace, verification)),
            _ABSENT,
            *_again(results),
        ],
        not_claimed=[*_copies(workspace, request_id), *NOT_CLAIMED],
        repeat=[
            _rebuild(workspace, verification),
            *(command.format(request_id=request_id) for command in REPEAT),
        ],
    )


def _approval(reader: Reader, request: RequestRecord) -> list[Decision]:
    """Who decided on the request, in order."""
    return [
        Decision(**row.model_dump(include=set(Decision.model_fields)))
        for row in reader.process.approvals(request.request_id)
    ]


def _deadlines(reader: Reader, request: RequestRecord, at: datetime) -> list[Deadline]:
    """By when the law asked for what; this report, written `at`, is the answer."""
    rows = []
    for row in reader.process.deadlines(request.request_id):
        met_at = row.met_at or at
        state = "met" if met_at <= row.due_at else "late"
        rows.append(
            Deadline(
                law=row.jurisdiction,
                kind=row.kind,
                due_at=row.due_at,
                met_at=met_at,
                state=state,
            )
        )
    return rows


def _recipients(reader: Reader, request: RequestRecord) -> list[Recipient]:
    """Who received a model that held what is withdrawn, and has to be told."""
    return [
        Recipient(
            recipient=row.recipient,
            purpose=row.purpose,
            model=row.name,
            version=row.version,
            disclosed_at=row.disclosed_at,
        )
        for row in reader.process.recipients(request.request_id)
    ]


def _servers(workspace: Workspace, held: Collection[int]) -> list[Server]:
    """What each server took in place of the versions that `held` what is withdrawn."""
    found = []
    for one in servers(workspace.root):
        last = next((own for own in reversed(one.taken) if own.version in held), None)
        if last is None:
            continue
        later = one.taken[one.taken.index(last) + 1 :]
        if later or one.runs:
            found.append(
                Server(
                    server=last.server,
                    held=last.version,
                    version=later[0].version if later else None,
                    taken_at=later[0].taken_at if later else None,
                )
            )
    return found


def _verdict(verification: Verification | None, removal: Removal, of_records: bool) -> str:
    if verification is None:
        return (
            "no model had been built from this contributor's data; what was withdrawn is destroyed"
        )
    what = "removed exactly"
    if not removal.was_member:
        what = "was in no merge; data destroyed"
        if of_records:
            what = "not in the current merge; what held them is destroyed"
    passed = sum(check.passed for check in verification.checks)
    return f"{what}, {passed} of {len(verification.checks)} checks passed"


def _comparison(verification: Verification | None) -> Comparison | None:
    """The rebuild never saw what was withdrawn. It has the same bytes, or there is none."""
    if verification is None:
        return None
    rebuilt = verification.level == "rebuilt" and verification.passed
    return Comparison(
        state_sha256=verification.state_sha256,
        reference_sha256=verification.state_sha256 if rebuilt else None,
        same_bytes=True if rebuilt else None,
        difference=0.0 if rebuilt else None,
    )


def _quality(evaluated: Evaluated) -> Quality:
    return Quality(contributor=evaluated.contributor, retained=evaluated.retained)


def _destroyed(row: PurgeObjectRecord) -> Destroyed:
    return Destroyed(**row.model_dump(include=set(Destroyed.model_fields)))


def _dropped(vectors: Sequence[TaskVectorRecord]) -> list[Dropped]:
    return [
        Dropped(vector_sha256=row.vector_sha256, at=row.dropped_at)
        for row in vectors
        if row.dropped_at
    ]


def _claim(of_records: bool, shown: Mapping[str, str]) -> str:
    return (_RECORDS_GONE if of_records else _GONE).format(**shown)


def _shown(workspace: Workspace, verification: Verification | None) -> Mapping[str, str]:
    """How far the claim is shown, in words."""
    if verification is None or verification.level == "rebuilt":
        return _REBUILT
    return _DERIVED_FROM_MASKS if workspace.keeps_masks_only else _DERIVED


def _rebuild(workspace: Workspace, verification: Verification | None) -> str:
    """The command that rebuilds the merge, from whatever it takes here."""
    if verification is None or verification.level == "rebuilt":
        return _VERIFY
    return _REBUILD_BY_FINETUNING if workspace.keeps_masks_only else _REBUILD


def _again(results: Results) -> list[str]:
    """Why this was done, where a backup had brought somebody back."""
    again = results.need(Approval).again
    return [_DONE_AGAIN.format(**again.model_dump())] if again else []


def _copies(workspace: Workspace, request_id: str) -> list[str]:
    """The backups and copies that still hold what left: pending, and how each goes."""
    with workspace.lineage.reader() as reader:
        backups = reader.process.backups_holding(request_id)
    return [
        *(_backup(workspace, row, departure_of(workspace, request_id)) for row in backups),
        *(
            _COPY.format(where=one.where)
            for one in known_copies(workspace)
            if request_id in one.still_holds
        ),
    ]


def _backup(workspace: Workspace, row: BackupRecord, departure: Departure) -> str:
    origin = origin_of(workspace)
    end = f"sift backup destroy {row.backup_id}"
    if origin and row.made_at <= origin.at:
        told, end = _OF_THE_ORIGIN, f"{end} --workspace {origin.path}"
    else:
        told = _TOLD if was_told(workspace, row.place, departure) else _UNTOLD
    return _BACKUP.format(
        backup=row.backup_id, day=row.made_at, place=row.place, told=told, end=end
    )


def _as_json(report: Report) -> bytes:
    """What was not recorded is left out, such as the digests of a contributor never merged."""
    return report.model_dump_json(indent=2, exclude_unset=True).encode() + b"\n"
