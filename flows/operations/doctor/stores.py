"""The stores that the work rests on: lineage, DVC, MLflow, Prefect."""

import os
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing

from flows.erasure.targets import LABELS, TARGETS, Needed, Scope
from flows.errors import UnreachedError
from flows.operations.doctor.diagnosis import Look, Status
from flows.workspace.workspace import Workspace

Found = Iterator[tuple[Status, str, str]]

_PREFECT = "PREFECT_API_URL"
_PREFECT_SECONDS = 5.0


def _lineage(workspace: Workspace) -> Found:
    """Opens, has this version's schema, its audit log is whole, and every reference leads on."""
    with workspace.lineage.reader() as reader:
        findings = reader.audit_findings()
        broken = [*findings["chain"], *findings["rows"]]
        lost = reader.sql("SELECT count(*) FROM orphans").rows[0][0]
        entries = reader.audit_head().seq
    for one in broken[:1]:
        yield "failed", f"{one.where}: {one.found}", one.remedy
    if lost:
        yield (
            "failed",
            f"{lost} references lead nowhere.",
            "restore the lineage store from a backup; `sift audit` names them.",
        )
    if not broken and not lost:
        found_well = f"opens; {entries} entries in its audit log account for every row."
        yield "ok", found_well, ""


def _dvc(workspace: Workspace) -> Found:
    """The cache is whole by its listings; the remote answers, and is the one pushed to before."""
    live = workspace.dvc.objects.live()
    url = workspace.dvc.remote.url()
    note = workspace.root / ".sift" / "pushed-to"
    if note.is_file() and note.read_text(encoding="utf-8") == url:
        workspace.dvc.remote.require_filled()
        missing = [md5 for md5 in live if workspace.dvc.objects.path(md5) is None]
        if missing:
            yield (
                "failed",
                f"{len(missing)} objects in use are not in the cache.",
                "`dvc fetch` brings them back from the remote.",
            )
            return
        yield "ok", f"{len(live)} objects in use; the remote {url} answers.", ""
    elif live:
        yield (
            "warning",
            f"nothing was pushed to {url} yet.",
            "run `sift build`: it pushes.",
        )
    else:
        yield "ok", f"nothing is tracked yet; the remote is {url}.", ""


def _mlflow(workspace: Workspace) -> Found:
    """Its database is whole, its champion is lineage's, and its models are where its rows say."""
    database = workspace.root / "mlflow.db"
    if database.is_file():
        try:
            with closing(sqlite3.connect(database)) as connection:
                (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            said = str(error)
        if said != "ok":
            yield (
                "failed",
                f"mlflow.db is damaged: {said}.",
                "restore it from a backup with mlruns/, or move both away and run `sift build`.",
            )
            return
    with workspace.lineage.reader() as reader:
        champion = reader.champion(workspace.settings.model.name)
    number = workspace.mlflow.reading.champion()
    if number != (champion.version if champion else None):
        yield (
            "failed",
            f"its champion is version {number}, lineage's is {champion and champion.version}.",
            "run `sift build`: it sets the champion; see `sift audit`.",
        )
    elif number is not None and not workspace.mlflow.reading.served_folder(number).is_dir():
        yield (
            "failed",
            f"the model of version {number} is not where its row says.",
            "restore mlruns/ from a backup; a workspace that was moved goes back to its place.",
        )
    else:
        what = "no version is registered yet" if number is None else f"version {number} is served"
        yield "ok", f"{what}.", ""


def _prefect(_: Workspace) -> Found:
    address = os.environ.get(_PREFECT)
    if address is None:
        yield "ok", "none is up: commands do their work without one. `sift up` starts it.", ""
        return
    mend = f"start it, or correct or unset {_PREFECT}."
    if not address.startswith(("http://", "https://")):
        yield "failed", f"{_PREFECT} is no http address.", mend
        return
    try:
        request = f"{address.rstrip('/')}/health"
        with urllib.request.urlopen(request, timeout=_PREFECT_SECONDS) as answer:  # noqa: S310
            answer.read()
    except (OSError, urllib.error.URLError, ValueError) as error:
        yield "failed", f"the server at {address} does not answer: {error}.", mend
        return
    yield "ok", f"the server at {address} answers.", ""


def _targets(workspace: Workspace) -> Found:
    """Every place that an opt-out must reach answers now."""
    scope = Scope(workspace, Needed(workspace))
    away = 0
    for target in (kind(scope) for kind in TARGETS):
        try:
            target.reach()
        except UnreachedError as error:
            away += 1
            yield "failed", f"{', '.join(target.labels.values())}: {error.facts}", error.remedy
    if not away:
        yield "ok", f"an opt-out reaches all {len(LABELS)} places.", ""


STORES: dict[str, Look] = {
    "lineage": _lineage,
    "dvc": _dvc,
    "mlflow": _mlflow,
    "prefect": _prefect,
    "erasure targets": _targets,
}
