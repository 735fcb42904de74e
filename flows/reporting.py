"""The compliance report of an opt-out: what was asked, found, removed, checked, and not claimed."""

import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

import jinja2

import sift_core
from flows.workspace import Workspace
from lineage import PurgeObject, opt_out

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
_BY_DIGESTS = {
    "what": "by the linear digests in lineage",
    "how": ". This workspace keeps only masks: what left was subtracted in integers, as a vector "
    "with the recorded digests, and the sum was not rebuilt from the others; the first command "
    "under 'To repeat' does it.",
}
_ABSENT = (
    "Every object listed under 'destroyed' was looked for again after its destruction and was "
    "absent."
)
NOT_CLAIMED = (
    "That a fact is gone: another contributor may have given the same one, and the public base "
    "model may know it.",
    "Copies outside this workspace and its DVC remote: backups, exports, downloads.",
    "Model servers that were running: they hold what they loaded until they are restarted.",
    "The operating system's free disk blocks.",
    "git history keeps digests and a keyed hash of the contributor, never rows, vectors or the "
    "name. Lineage keeps the same, and the hashes of single records that a request named, by which "
    "they are refused if they come in again.",
    "This is evidence of a procedure that can be run again, not a proof about weights.",
)
_REBUILD = "sift verify"
_REBUILD_BY_FINETUNING = "sift verify --rederive"
REPEAT = (
    'sift lineage sql "SELECT * FROM digest_check ORDER BY state_seq DESC, lane LIMIT 4"',
    "sift lineage sql \"SELECT * FROM purge_evidence WHERE request_id = '{request_id}'\"",
)


def write_report(workspace: Workspace, request_id: str, at: datetime) -> Path:
    """Write `reports/<request>/report.json` and `report.html`; the folder.

    `at` is the moment of the step `reported`, which ends the timeline. The report names the
    contributor by key only. The HTML is one file without scripts or links, and everything in it is
    escaped.
    """
    report = _collect(workspace, request_id, at)
    folder = workspace.reports / request_id
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    html = _environment().get_template("report.html.j2").render(report=report)
    sift_core.write_atomically(folder / "report.html", html.encode())
    sift_core.write_atomically(folder / "report.json", text.encode())
    return folder


def read_report(workspace: Workspace, request_id: str) -> dict[str, Any]:
    """The report of a request that has ended, as plain JSON values."""
    path = workspace.reports / request_id / "report.json"
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def _collect(workspace: Workspace, request_id: str, at: datetime) -> dict[str, Any]:
    with workspace.lineage.reader() as reader:
        request = reader.request(request_id)
        steps = reader.steps(request_id)
        objects = reader.purge_objects(request_id)
        vectors = reader.impact(request.contributor_key, request.records).vectors
    details = {step.step: step.details for step in steps}
    by_digests = details["verified"].get("evidence") == "digests alone"
    rebuild = _REBUILD_BY_FINETUNING if by_digests else _REBUILD
    shared = cast(list[str], details["purged"]["kept_because_shared"])
    return {
        "format": "opt-out-report/1",
        "request_id": request_id,
        "contributor_key": request.contributor_key,
        "records": None if request.records is None else len(request.records),
        "basis": request.basis,
        "received_at": request.received_at.isoformat(),
        "written_at": at.isoformat(),
        "model": workspace.settings.model.name,
        "timeline": [
            *({"step": step.step, "at": step.done_at.isoformat()} for step in steps),
            {"step": opt_out.STEPS[-1], "at": at.isoformat()},
        ],
        "found": details["identified"],
        "removal": details["removed"],
        "verification": details["verified"],
        "quality": details["evaluated"],
        "registered": details["registered"],
        "destroyed": [_evidence(row) for row in objects if row.locator not in shared],
        "kept_because_shared": shared,
        "not_kept_after_merge": [
            {"vector_sha256": row.vector_sha256, "at": row.dropped_at.isoformat()}
            for row in vectors
            if row.dropped_at
        ],
        "claimed": [_claim(request.records is not None, by_digests), _ABSENT],
        "not_claimed": list(NOT_CLAIMED),
        "repeat": [rebuild, *(command.format(request_id=request_id) for command in REPEAT)],
    }


def _evidence(row: PurgeObject) -> dict[str, Any]:
    return {
        "place": row.place,
        "kind": row.kind,
        "locator": row.locator,
        "bytes": row.bytes,
        "destroyed_at": row.destroyed_at and row.destroyed_at.isoformat(),
        "absent_at": row.absent_at and row.absent_at.isoformat(),
    }


def _claim(of_records: bool, by_digests: bool) -> str:
    return (_RECORDS_GONE if of_records else _GONE).format(
        **(_BY_DIGESTS if by_digests else _REBUILT)
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _readable
    return environment


def _readable(moment: str | None) -> str:
    """An ISO time as people read it; a time that is missing shows."""
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M:%S} UTC" if moment else "pending"
