"""Destroying what must be destroyed, and looking for each of it again.

S_old − S_new *is* τ_u: so with the contributor's rows, vector and mask go every superseded merge
state and model version that contained them. Of some withdrawn records the same goes: every dataset
that held one, and all that was made from these datasets. The new version is champion before the
first byte goes.

Who leaves is noted outside of the workspace first, so that no backup brings them back
(`flows/erasure/tombstones/places.py`). Each place is asked what it holds; the answer is written
into lineage; permission is asked again; only then is it destroyed and looked for once more. A place
that cannot be reached does not stop the others: the request stays before `purged`, lineage lists
what is pending, and running it again goes on from there.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from flows.data.look_alikes import erased_likenesses
from flows.erasure.approvals import permit
from flows.erasure.removal import Removal
from flows.erasure.set_aside import Aside, concerns_all, in_words, setting_aside
from flows.erasure.targets import (
    DvcObjects,
    Files,
    Found,
    Holding,
    Impacts,
    ModelVersions,
    shared_content,
)
from flows.erasure.tombstones.copies import acknowledge
from flows.erasure.tombstones.places import note
from flows.erasure.worker_target import WORKERS, WorkerArea
from flows.errors import FlowError
from flows.integrations.dvc.repository import DvcError
from flows.integrations.mlflow.registry import ModelStoreError
from flows.integrations.staging.staging import StagingError
from flows.models.record import push, record
from flows.models.register import require_same_name
from flows.workspace.current_state import current_state_or_none
from flows.workspace.recorded_files import damaged_members, take_away_damaged
from flows.workspace.workspace import Workspace
from lineage import PurgeObjectRecord, RequestRecord


class StillThereError(FlowError):
    """An object was destroyed and is found again."""


class PendingError(FlowError):
    """Some places could not be reached. What is pending there stands in lineage."""


_IN_THE_REMOTE = frozenset({"dvc-remote", WORKERS})
_UNREACHED = (DvcError, ModelStoreError, StagingError, StillThereError, OSError)
Failures = dict[str, list[Exception]]
"""Request id → what kept an object of it from being destroyed."""


def purge(removals: Sequence[Removal]) -> None:
    """Destroy every artifact of these requests; record each, and that each is absent.

    A request one of whose objects cannot be destroyed is set aside, as is one on hold since.
    Permission is asked before any place is touched, and again before each. Raises SetAsideError
    for these, once the others are purged; PendingError, after all places within reach are done,
    where a place cannot be reached.
    """
    place = removals[0].workspace
    require_same_name(place)
    with setting_aside() as aside:
        if going := list(aside.each(removals, permit)):
            _purge_together(place, going, aside)


def _purge_together(place: Workspace, going: list[Removal], aside: Aside) -> None:
    with place.lineage.reader():  # those within share its opening
        impacts = {removal.request_id: removal.impact() for removal in going}
    unreached: list[FlowError] = note(place, [removal.request_id for removal in going])
    own: Failures = {}
    going = _purge(Files(place), going, impacts, aside, own)
    # Whose files are here is still in the record: nothing else of theirs can go yet.
    going = _set_aside_pending(going, own, aside)
    if not going:
        return
    _forget_datasets(going, impacts)
    head = _record_without(place, going)
    needed = place.dvc.live_objects()
    holdings: tuple[Holding, ...] = (
        DvcObjects(place, "dvc-cache", needed),
        ModelVersions(place),
        DvcObjects(place, "dvc-remote", needed),
        WorkerArea(place),
    )
    for holding in holdings:
        if not going:  # a hold since, on each of them
            return
        try:
            if holding.places & _IN_THE_REMOTE:
                place.dvc.require_own_remote(place.identity)
            if head is not None and "dvc-remote" in holding.places:
                push(place)
            going = _purge(holding, going, impacts, aside, own)
        except FlowError as error:
            if not isinstance(error, _UNREACHED):
                raise
            _plan_expected(holding, going, impacts)
            unreached.append(error)
    going = _set_aside_pending(going, own, aside)
    if unreached and going:
        raise _pending(going, unreached) from unreached[0]
    if going := list(aside.each(going, permit)):
        _forget(going, impacts)
        acknowledge(place, [removal.request_id for removal in going])
    for removal in going:
        shared = shared_content(impacts[removal.request_id], needed)
        removal.done("purged", {"commit": head, "kept_because_shared": shared})


def _set_aside_pending(going: list[Removal], own: Failures, aside: Aside) -> list[Removal]:
    """Set those aside of whom something is still there; the others."""
    for removal in going:
        if removal.request_id in own:
            error = _pending([removal], own[removal.request_id])
            error.__cause__ = own[removal.request_id][0]
            aside.put(removal, error)
    return [removal for removal in going if removal.request_id not in own]


def _record_without(place: Workspace, going: Sequence[Removal]) -> str | None:
    """Record the workspace as it is now; the commit. None where nothing was ever made.

    A base that was made before the first build has no record yet; without one it would look like
    one that was lost, and nothing would be destroyed.
    """
    state = current_state_or_none(place)
    if state is not None:
        take_away_damaged(place, damaged_members(place, state.state_seq), state.state_seq)
    elif not place.base.is_dir():
        return None
    names = ", ".join(removal.request_id for removal in going)
    return record(place, f"Opt out: {names}")


def pending(removal: Removal) -> list[PurgeObjectRecord]:
    """What a request still has to destroy, or to look for again."""
    with removal.workspace.lineage.reader() as reader:
        return [row for row in reader.purge_objects(removal.request_id) if row.absent_at is None]


def _purge(
    holding: Holding, going: list[Removal], impacts: Impacts, aside: Aside, own: Failures
) -> list[Removal]:
    """Find, write down, ask for permission, destroy, look again: in one kind of place.

    Returns who may go on; what of one cannot be destroyed stands in `own`.
    """
    found = holding.find(going, impacts)
    with going[0].workspace.lineage.session():
        _plan(going, found)
        going = list(aside.each(going, permit))
        planned = {removal: _planned(removal, holding) for removal in going}
    if not going:
        return []
    try:
        _destroy(holding, planned)
    except _UNREACHED:
        # The place answers, so it is a thing in it: whose, shows when each is tried alone.
        for removal in going:
            if failure := _failure(holding, removal, planned[removal]):
                own.setdefault(removal.request_id, []).append(failure)
    return going


def _failure(
    holding: Holding, removal: Removal, planned: Sequence[PurgeObjectRecord]
) -> Exception | None:
    """What keeps the objects of one request from being destroyed, None where all are."""
    try:
        _destroy(holding, {removal: planned})
    except _UNREACHED as error:
        if concerns_all(error):
            raise
        return error
    return None


def _destroy(holding: Holding, planned: Mapping[Removal, Sequence[PurgeObjectRecord]]) -> None:
    """Destroy all that was ever `planned` for these in one kind of place, and look again.

    A killed run may have destroyed a row, by which alone MLflow would find the folder again, and
    not yet the folder.
    """
    spared = holding.spared()
    rows = [row for own in planned.values() for row in own if row.locator not in spared]
    holding.destroy(_once(rows))
    if rows:
        _settle(holding, next(iter(planned)).workspace, rows)


def _settle(holding: Holding, place: Workspace, rows: Sequence[PurgeObjectRecord]) -> None:
    """Look for every planned object again, and record that it is gone."""
    if left := holding.still_there(_once(rows)):
        row = left[0]
        raise StillThereError(
            f"{row.kind} {row.locator} is still in {row.place}.",
            remedy=f"see who holds it, then run `sift opt-out run {row.request_id}`.",
        )
    now = datetime.now(UTC)
    with place.lineage.writer() as recorder:
        for row in rows:
            recorder.mark_destroyed(row.request_id, row.place, row.locator, now)
            recorder.mark_absent(row.request_id, row.place, row.locator, now)


def _once(rows: Iterable[PurgeObjectRecord]) -> list[PurgeObjectRecord]:
    """Each object once, however many requests it stands with."""
    return list({(row.place, row.locator): row for row in rows}.values())


def _plan(removals: Sequence[Removal], found: dict[str, list[Found]]) -> None:
    now = datetime.now(UTC)
    with removals[0].workspace.lineage.writer() as recorder:
        for request_id, objects in found.items():
            recorder.plan_purge(
                PurgeObjectRecord(
                    request_id=request_id,
                    place=one.place,
                    kind=one.kind,
                    locator=one.locator,
                    bytes=one.bytes,
                    planned_at=now,
                )
                for one in objects
            )


def _planned(removal: Removal, holding: Holding) -> list[PurgeObjectRecord]:
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


def _pending(removals: Sequence[Removal], failures: Sequence[Exception]) -> PendingError:
    left = [row for removal in removals for row in pending(removal)]
    where = ", ".join(sorted({row.place for row in left}))
    names = " ".join(removal.request_id for removal in removals)
    said = [in_words(error) for error in failures]
    causes = " ".join(dict.fromkeys(facts for facts, _ in said))
    mend = said[0][1]
    if not left:
        return PendingError(
            f"All is destroyed, and not every place that must know of it has been told. {causes}",
            remedy=f"{mend} Then run `sift opt-out run {names}` again.",
        )
    return PendingError(
        f"{len(left)} objects in {where} are still to be destroyed; all other places are done. "
        f"{causes}",
        remedy=f"{mend} Then run `sift opt-out run {names}` again: it goes on where it stopped. "
        "`sift opt-out status` lists what is pending.",
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
    now = datetime.now(UTC)
    with place.lineage.writer() as recorder:
        current, requests = recorder.read.current_state(), recorder.read.requests()
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
                recorder.add_all(erased_likenesses(place, recorder.read, removal.key))
                recorder.mark_erased(removal.key, now)
        recorder.forget_environments(now)
    place.lineage.rewrite()


def _named(requests: Iterable[RequestRecord], key: str) -> set[str]:
    """The digests of records that any request of this contributor named."""
    own = [request.records or () for request in requests if request.contributor_key == key]
    return {record for records in own for record in records}
