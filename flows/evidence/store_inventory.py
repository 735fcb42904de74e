"""What DVC, MLflow and the reports' folder really hold, held against lineage, both ways."""

import re
from collections.abc import Iterable, Iterator

from flows.evidence.inventory import UNKNOWN, Stock
from flows.evidence.verification import registered_members_sha256, registered_sha256
from flows.integrations.mlflow.registry import TAG_STATE
from flows.models.checks import ExactnessError
from lineage import Finding, ModelVersionRecord
from sift_core import SiftCoreError

_OF_A_CONTRIBUTOR = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}\.\w+")


def dvc_findings(stock: Stock) -> Iterator[Finding]:
    """Find objects in cache and remote that no row knows, that should be gone, or are lost."""
    inventory = stock.workspace.dvc.objects.inventory()
    kept, gone = _content(stock)
    for stored in inventory.altered:
        yield Finding(
            where=f"{stored.place} {stored.md5}",
            found="the content of this object is not the one it is named by.",
            remedy="delete it, then restore it: `dvc push` or `dvc fetch`.",
        )
    for stored in inventory.objects:
        if stored.md5 in kept or stored.md5 in inventory.live:
            continue
        if stored.md5 in gone:
            found = "lineage says that this object was destroyed."
        elif stored.md5.endswith(".dir") or _is_public(inventory.names.get(stored.md5, ())):
            continue
        else:
            found = "no row of lineage knows this object."
        yield Finding(where=f"{stored.place} {stored.md5}", found=found, remedy=UNKNOWN)
    for place in ("dvc-cache", "dvc-remote"):
        there = {stored.md5 for stored in inventory.objects if stored.place == place}
        for md5 in sorted(inventory.live - there):
            yield Finding(
                where=f"{place} {md5}",
                found="a current entry needs this object, and it is not there.",
                remedy="`dvc push` brings it to the remote, `dvc fetch` to the cache.",
            )
    for md5 in sorted(_in_use(stock) - inventory.live):
        yield Finding(
            where=f"dvc {md5}",
            found="what is in the current merge is not recorded in DVC.",
            remedy="run `sift build`, or `sift opt-out run` where a request is open.",
        )


def _content(stock: Stock) -> tuple[set[str], set[str]]:
    """MD5 of everything that lineage says exists, and of what it says is gone."""
    rows: list[tuple[str, object]] = []
    rows += [(row.md5, row.destroyed_at) for row in stock.datasets]
    rows += [(row.vector_md5, row.destroyed_at or row.dropped_at) for row in stock.vectors]
    rows += [(row.mask_md5, row.destroyed_at) for row in stock.vectors]
    rows += [(row.md5, row.destroyed_at) for row in stock.states]
    kept = {md5 for md5, destroyed in rows if not destroyed}
    return kept, {md5 for md5, _ in rows} - kept


def _in_use(stock: Stock) -> set[str]:
    """MD5 of the current state and of its members' files that are kept."""
    if not stock.states:
        return set()
    state = stock.states[-1]
    with stock.workspace.lineage.reader() as reader:
        members = {row.run_id for row in reader.members(state.state_seq)}
        datasets = {row.md5 for row in reader.member_datasets(state.state_seq)}
    rows = [row for row in stock.vectors if row.run_id in members]
    vectors = {row.vector_md5 for row in rows if not row.dropped_at}
    return {state.md5} | datasets | vectors | {row.mask_md5 for row in rows}


def mlflow_findings(stock: Stock) -> Iterator[Finding]:
    """Find versions that lineage or MLflow alone has, altered ones, and leftovers."""
    mlflow = stock.workspace.mlflow
    registered = set(mlflow.reading.versions())
    known = {row.version: row for row in stock.versions}
    for number in sorted(registered - known.keys()):
        yield _version(stock, number, "no row of lineage knows this version.", UNKNOWN)
    for number, row in sorted(known.items()):
        if row.destroyed_at is None and number not in registered:
            yield _version(
                stock,
                number,
                "it is gone, and lineage says that it exists.",
                "restore mlflow.db and mlruns/ from a backup, or run `sift build`; what is left of "
                "it, an opt-out of somebody in it destroys.",
            )
        elif row.destroyed_at is not None and number in registered:
            yield _version(stock, number, "lineage says that it was destroyed.", UNKNOWN)
        elif row.destroyed_at is None:
            yield from _altered(stock, row)
    for stored in mlflow.destruction.leftovers():
        yield Finding(
            where=f"{stored.place} {stored.locator}",
            found="no version points to it.",
            remedy="the next `sift build` or opt-out removes what a killed process left.",
        )


def _altered(stock: Stock, row: ModelVersionRecord) -> Iterator[Finding]:
    mlflow = stock.workspace.mlflow
    state = next(state for state in stock.states if state.state_seq == row.state_seq)
    backup = "restore mlflow.db and mlruns/ from a backup."
    if mlflow.reading.tags(row.version).get(TAG_STATE) != state.state_sha256:
        found = "it is tagged with another merge state than lineage says."
        yield _version(stock, row.version, found, backup)
    try:
        held = (
            registered_sha256(stock.workspace, row),
            registered_members_sha256(stock.workspace, row),
        )
    except (ExactnessError, SiftCoreError) as error:
        yield _version(stock, row.version, error.facts, error.remedy)
        return
    if held != (row.served_sha256, row.members_sha256):
        yield _version(
            stock, row.version, "its weights are not those that lineage recorded.", backup
        )


def _version(stock: Stock, number: int, found: str, remedy: str) -> Finding:
    name = stock.workspace.mlflow.name
    return Finding(where=f"mlflow {name} version {number}", found=found, remedy=remedy)


def report_findings(stock: Stock) -> Iterator[Finding]:
    """Find requests that ended without their report, and reports of no request."""
    with stock.workspace.lineage.reader() as reader:
        ended = {
            row.request_id: any(s.step == "reported" for s in reader.steps(row.request_id))
            for row in reader.requests()
        }
    for request_id in sorted(one for one, reported in ended.items() if reported):
        for name in ("report.json", "report.html"):
            if not (stock.workspace.reports / request_id / name).is_file():
                yield Finding(
                    where=f"reports/{request_id}/{name}",
                    found="it is gone, and lineage says that it was written.",
                    remedy="restore the report from a backup or from whom it was sent to.",
                )
    for folder in sorted(stock.workspace.reports.glob("opt-out-*")):
        if folder.name not in ended:
            yield Finding(
                where=f"reports/{folder.name}",
                found="lineage has no such request: it may be older than the report.",
                remedy="restore the lineage store from a newer backup.",
            )


def _is_public(names: Iterable[str]) -> bool:
    """Whether listings name the object, and as nothing of a contributor: a base model's file."""
    listed = list(names)
    return bool(listed) and not any(_OF_A_CONTRIBUTOR.search(name) for name in listed)
