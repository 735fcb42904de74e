"""Destroying what must be destroyed, and looking for each of it again.

S_old − S_new *is* τ_u: so with the contributor's rows, vector and mask go every superseded merge
state and model version that contained them. Of some withdrawn records the same goes: every dataset
that held one, and all that was made from these datasets. The new version is champion before the
first byte goes.

Who leaves is noted outside of the workspace first, so that no backup brings them back
(`flows/ledgers.py`). Each place is asked what it holds; the answer is written into lineage;
permission is asked again; only then is it destroyed and looked for once more. A place that cannot
be reached does not stop the others: the request stays before `purged`, lineage lists what is
pending, and running it again goes on from there.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from flows.agents.holding import AgentArea
from flows.decisions import require_permission
from flows.doors.dvc import DvcError
from flows.doors.mlflow import ModelStoreError
from flows.doors.staging import StagingError
from flows.errors import FlowError
from flows.holdings import (
    DvcObjects,
    Files,
    Found,
    Holding,
    Impacts,
    ModelVersions,
    shared_content,
)
from flows.ledgers import note
from flows.merging import current_state_or_none
from flows.registering import push, record, require_same_name
from flows.removal import Removal
from lineage import OptOutRequest, PurgeObject


class StillThereError(FlowError):
    """An object was destroyed and is found again."""


class PendingError(FlowError):
    """Some places could not be reached. What is pending there stands in lineage."""


_UNREACHED = (DvcError, ModelStoreError, StagingError, StillThereError)


def purge(removals: Sequence[Removal]) -> None:
    """Destroy every artifact of these requests; record each, and that each is absent.

    Raises PendingError after all places within reach are done; NotApprovedError or OnHoldError
    before any is touched, and again before each.
    """
    place = removals[0].workspace
    require_same_name(place)
    impacts = {removal.request_id: removal.impact() for removal in removals}
    failures = note(place, [removal.request_id for removal in removals])
    _purge(Files(place), removals, impacts)
    _forget_datasets(removals, impacts)
    built = current_state_or_none(place) is not None
    names = ", ".join(removal.request_id for removal in removals)
    head = record(place, f"Opt out: {names}") if built else None
    needed = place.dvc.live_objects()
    holdings: tuple[Holding, ...] = (
        DvcObjects(place, "dvc-cache", needed),
        ModelVersions(place),
        DvcObjects(place, "dvc-remote", needed),
        AgentArea(place),
    )
    for holding in holdings:
        try:
            if built and "dvc-remote" in holding.places:
                push(place)
            _purge(holding, removals, impacts)
        except _UNREACHED as error:
            _plan_expected(holding, removals, impacts)
            failures.append(error)
    if failures:
        raise _pending(removals, failures) from failures[0]
    _forget(removals, impacts)
    for removal in removals:
        shared = shared_content(impacts[removal.request_id], needed)
        removal.done("purged", {"commit": head, "kept_because_shared": shared})


def pending(removal: Removal) -> list[PurgeObject]:
    """What a request still has to destroy, or to look for again."""
    with removal.workspace.lineage.reader() as reader:
        return [row for row in reader.purge_objects(removal.request_id) if row.absent_at is None]


def _purge(holding: Holding, removals: Sequence[Removal], impacts: Impacts) -> None:
    """Find, write down, ask for permission, destroy, look again: in one kind of place."""
    place = removals[0].workspace
    found = holding.find(removals, impacts)
    _plan(removals, found)
    require_permission(place, [removal.request_id for removal in removals])
    # All that was ever planned: a killed run may have destroyed a row, by which alone MLflow would
    # find the folder again, and not yet the folder.
    spared = holding.spared()
    rows = [
        row
        for removal in removals
        for row in _planned(removal, holding)
        if row.locator not in spared
    ]
    holding.destroy({(row.place, row.locator): row for row in rows}.values())
    _settle(holding, removals, rows)


def _settle(holding: Holding, removals: Sequence[Removal], rows: Sequence[PurgeObject]) -> None:
    """Look for every planned object again, and record that it is gone."""
    looked: set[tuple[str, str]] = set()
    for row in rows:
        if (row.place, row.locator) in looked:
            continue
        if not holding.is_absent(row):
            raise StillThereError(
                f"{row.kind} {row.locator} is still in {row.place}.",
                remedy=f"see who holds it, then run `sift opt-out run {row.request_id}`.",
            )
        looked.add((row.place, row.locator))
    now = datetime.now(UTC)
    with removals[0].workspace.lineage.writer() as recorder:
        for row in rows:
            recorder.mark_destroyed(row.request_id, row.place, row.locator, now)
            recorder.mark_absent(row.request_id, row.place, row.locator, now)


def _plan(removals: Sequence[Removal], found: dict[str, list[Found]]) -> None:
    now = datetime.now(UTC)
    with removals[0].workspace.lineage.writer() as recorder:
        for request_id, objects in found.items():
            recorder.plan_purge(
                PurgeObject(
                    request_id=request_id,
                    place=one.place,
                    kind=one.kind,
                    locator=one.locator,
                    bytes=one.bytes,
                    planned_at=now,
                )
                for one in objects
            )


def _planned(removal: Removal, holding: Holding) -> list[PurgeObject]:
    with removal.workspace.lineage.reader() as reader:
        rows = reader.purge_objects(removal.request_id)
    return [row for row in rows if row.place in holding.places]


def _plan_expected(holding: Holding, removals: Sequence[Removal], impacts: Impacts) -> None:
    """Write down what must be in a place that could not be reached, so that it is not forgotten."""
    _plan(
        removals,
        {
            removal.request_id: holding.expected(removal, impacts[removal.request_id])
            for removal in removals
        },
    )


def _pending(removals: Sequence[Removal], failures: Sequence[FlowError]) -> PendingError:
    left = [row for removal in removals for row in pending(removal)]
    where = ", ".join(sorted({row.place for row in left}))
    names = " ".join(removal.request_id for removal in removals)
    causes = " ".join(dict.fromkeys(error.facts for error in failures))
    if not left:
        return PendingError(
            f"All is destroyed, and not every place that must know of it has been told. {causes}",
            remedy=f"{failures[0].remedy} Then run `sift opt-out run {names}` again.",
        )
    return PendingError(
        f"{len(left)} objects in {where} are still to be destroyed; all other places are done. "
        f"{causes}",
        remedy=f"mend this, then run `sift opt-out run {names}` again: it goes on where it "
        "stopped. `sift opt-out status` lists what is pending.",
    )


def _forget_datasets(removals: Sequence[Removal], impacts: Impacts) -> None:
    """From here on nothing that reads lineage asks for these files any more."""
    with removals[0].workspace.lineage.writer() as recorder:
        for removal in removals:
            datasets = impacts[removal.request_id].datasets
            recorder.mark_artifacts_destroyed(
                datetime.now(UTC), datasets=[(removal.key, row.sha256) for row in datasets]
            )


def _forget(removals: Sequence[Removal], impacts: Impacts) -> None:
    """Lineage keeps digests and the keyed hash; the name goes, from the file's free pages too.

    Who withdrew some records only keeps their name. Digests of single records stay only where a
    request named them, facts of a machine only where a vector is left that was made there.
    """
    place = removals[0].workspace
    require_permission(place, [removal.request_id for removal in removals])
    current = current_state_or_none(place)
    now = datetime.now(UTC)
    with place.lineage.writer() as recorder:
        requests = recorder.read.requests()
        for removal in removals:
            impact = impacts[removal.request_id]
            recorder.mark_artifacts_destroyed(
                now,
                runs=[row.run_id for row in impact.vectors],
                states=[row.state_seq for row in impact.states if row != current],
                versions=[(row.name, row.version) for row in impact.versions],
            )
            recorder.forget_records(removal.key, _named(requests, removal.key))
            if removal.request.records is None:
                recorder.mark_erased(removal.key, now)
        recorder.forget_environments(now)
    place.lineage.rewrite()


def _named(requests: Iterable[OptOutRequest], key: str) -> set[str]:
    """The digests of records that any request of this contributor named."""
    own = [request.records or () for request in requests if request.contributor_key == key]
    return {record for records in own for record in records}
