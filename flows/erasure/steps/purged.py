"""`purged`: what must be destroyed is, and each of it is looked for again.

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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from flows.data.look_alikes import erased_likenesses
from flows.erasure.approvals import permit
from flows.erasure.request import Request
from flows.erasure.results import Purge
from flows.erasure.set_aside import Aside, concerns_all, in_words, setting_aside
from flows.erasure.steps.step import Step
from flows.erasure.targets import TARGETS, Found, Impacts, Needed, Scope, Target, shared_content
from flows.erasure.tombstones.copies import acknowledge
from flows.erasure.tombstones.places import note
from flows.errors import FlowError, UnreachedError, explained
from flows.models.record import record
from flows.models.register import require_same_name
from flows.workspace.current_state import current_state_or_none
from flows.workspace.recorded_files import damaged_members, take_away_damaged
from flows.workspace.workspace import Workspace
from lineage import PurgeObjectRecord, RequestRecord


class StillThereError(UnreachedError):
    """An object was destroyed and is found again."""


class PendingError(FlowError):
    """Some places could not be reached. What is pending there stands in lineage."""


Failures = dict[str, list[Exception]]
"""Request id → what kept an object of it from being destroyed."""


def purge(requests: Sequence[Request]) -> None:
    """Destroy every artifact of these requests; record each, and that each is absent.

    A request one of whose objects cannot be destroyed is set aside, as is one on hold since.
    Permission is asked before any place is touched, and again before each. Raises SetAsideError
    for these, once the others are purged; PendingError, after all places within reach are done,
    where a place cannot be reached.
    """
    workspace = requests[0].workspace
    require_same_name(workspace)
    with setting_aside() as aside:
        if going := list(aside.each(requests, permit)):
            _purge_together(workspace, going, aside)


def _purge_together(workspace: Workspace, going: list[Request], aside: Aside) -> None:
    with workspace.lineage.reader():  # those within share its opening
        impacts = {request.request_id: request.impact() for request in going}
    unreached: list[FlowError] = note(workspace, [request.request_id for request in going])
    own: Failures = {}
    scope = Scope(workspace, Needed(workspace))
    for target in (kind(scope) for kind in TARGETS if not kind.after_record):
        if going:  # a hold since, on each of them
            going = _purge(target, going, impacts, aside, own)
    # Whose files are here is still in the record: nothing else of theirs can go yet.
    going = _set_aside_pending(going, own, aside)
    if not going:
        return
    _forget_datasets(going, impacts)
    scope = replace(scope, needed=Needed(workspace), commit=_record_without(workspace, going))
    _ = scope.needed.content  # where even this cannot be told, nothing is spared by mistake
    for target in (kind(scope) for kind in TARGETS if kind.after_record):
        if not going:
            return
        try:
            target.prepare()
            going = _purge(target, going, impacts, aside, own)
        except UnreachedError as error:
            _plan_expected(target, going, impacts)
            unreached.append(error)
    going = _set_aside_pending(going, own, aside)
    if unreached and going:
        raise _pending(going, unreached) from unreached[0]
    if going := list(aside.each(going, permit)):
        _forget(going, impacts)
        acknowledge(workspace, [request.request_id for request in going])
    for request in going:
        shared = shared_content(impacts[request.request_id], scope.needed)
        request.done("purged", Purge(commit=scope.commit, kept_because_shared=shared))


def _set_aside_pending(going: list[Request], own: Failures, aside: Aside) -> list[Request]:
    """Set those aside of whom something is still there; the others."""
    for request in going:
        if request.request_id in own:
            error = _pending([request], own[request.request_id])
            error.__cause__ = own[request.request_id][0]
            aside.put(request, error)
    return [request for request in going if request.request_id not in own]


def _record_without(workspace: Workspace, going: Sequence[Request]) -> str | None:
    """Record the workspace as it is now; the commit. None where nothing was ever made.

    A base that was made before the first build has no record yet; without one it would look like
    one that was lost, and nothing would be destroyed.
    """
    state = current_state_or_none(workspace)
    if state is not None:
        take_away_damaged(workspace, damaged_members(workspace, state.state_seq), state.state_seq)
    elif not workspace.base.is_dir():
        return None
    names = ", ".join(request.request_id for request in going)
    return record(workspace, f"Opt out: {names}")


def pending(request: Request) -> list[PurgeObjectRecord]:
    """What a request still has to destroy, or to look for again."""
    with request.workspace.lineage.reader() as reader:
        return [row for row in reader.purge_objects(request.request_id) if row.absent_at is None]


def _purge(
    target: Target, going: list[Request], impacts: Impacts, aside: Aside, own: Failures
) -> list[Request]:
    """Find, write down, ask for permission, destroy, look again: in one kind of place.

    Returns who may go on; what of one cannot be destroyed stands in `own`.
    """
    found = target.find(going, impacts)
    _plan(going, found)
    going = list(aside.each(going, permit))
    planned = {request: _planned(request, target) for request in going}
    if not going:
        return []
    try:
        _destroy(target, planned)
    except UnreachedError:
        # The place answers, so it is a thing in it: whose, shows when each is tried alone.
        for request in going:
            if failure := _failure(target, request, planned[request]):
                own.setdefault(request.request_id, []).append(failure)
    return going


def _failure(
    target: Target, request: Request, planned: Sequence[PurgeObjectRecord]
) -> Exception | None:
    """What keeps the objects of one request from being destroyed, None where all are."""
    try:
        _destroy(target, {request: planned})
    except UnreachedError as error:
        if concerns_all(error):
            raise
        return error
    return None


def _destroy(target: Target, planned: Mapping[Request, Sequence[PurgeObjectRecord]]) -> None:
    """Destroy all that was ever `planned` for these in one kind of place, and look again.

    A killed run may have destroyed a row, by which alone MLflow would find the folder again, and
    not yet the folder.
    """
    spared = target.spared()
    rows = [row for own in planned.values() for row in own if row.locator not in spared]
    with _in_our_words():
        target.erase(_once(rows))
        if rows:
            _settle(target, next(iter(planned)).workspace, rows)


@contextmanager
def _in_our_words() -> Iterator[None]:
    """What the system refuses is of the place, not of the request."""
    try:
        yield
    except OSError as error:
        facts, remedy = explained(error)
        raise UnreachedError(facts, remedy=remedy) from error


def _settle(target: Target, workspace: Workspace, rows: Sequence[PurgeObjectRecord]) -> None:
    """Look for every planned object again, and record that it is gone."""
    if left := target.still_there(_once(rows)):
        row = left[0]
        raise StillThereError(
            f"{row.kind} {row.locator} is still in {row.place}.",
            remedy=f"see who holds it, then run `sift opt-out run {row.request_id}`.",
        )
    now = datetime.now(UTC)
    with workspace.lineage.writer() as recorder:
        for row in rows:
            recorder.mark_destroyed(row.request_id, row.place, row.locator, now)
            recorder.mark_absent(row.request_id, row.place, row.locator, now)


def _once(rows: Iterable[PurgeObjectRecord]) -> list[PurgeObjectRecord]:
    """Each object once, however many requests it stands with."""
    return list({(row.place, row.locator): row for row in rows}.values())


def _plan(requests: Sequence[Request], found: dict[str, list[Found]]) -> None:
    now = datetime.now(UTC)
    with requests[0].workspace.lineage.writer() as recorder:
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


def _planned(request: Request, target: Target) -> list[PurgeObjectRecord]:
    with request.workspace.lineage.reader() as reader:
        rows = reader.purge_objects(request.request_id)
    return [row for row in rows if row.place in target.labels]


def _plan_expected(target: Target, requests: Sequence[Request], impacts: Impacts) -> None:
    """Write down what must be in a place that could not be reached, so that it is not forgotten."""
    _plan(
        requests,
        {
            request.request_id: target.expected(request, impacts[request.request_id])
            for request in requests
        },
    )


def _pending(requests: Sequence[Request], failures: Sequence[Exception]) -> PendingError:
    left = [row for request in requests for row in pending(request)]
    where = ", ".join(sorted({row.place for row in left}))
    names = " ".join(request.request_id for request in requests)
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


def _forget_datasets(requests: Sequence[Request], impacts: Impacts) -> None:
    """From here on nothing that reads lineage asks for these files any more."""
    with requests[0].workspace.lineage.writer() as recorder:
        for request in requests:
            datasets = impacts[request.request_id].datasets
            recorder.mark_artifacts_destroyed(
                datetime.now(UTC), datasets=[(request.key, row.sha256) for row in datasets]
            )


def _forget(requests: Sequence[Request], impacts: Impacts) -> None:
    """Lineage keeps digests and the keyed hash; the name goes, from the file's free pages too.

    Who withdrew some records only keeps their name. Digests of single records stay only where a
    request named them, facts of a machine only where a vector is left that was made there.
    """
    workspace = requests[0].workspace
    now = datetime.now(UTC)
    with workspace.lineage.writer() as recorder:
        current, filed = recorder.read.current_state(), recorder.read.requests()
        for request in requests:
            impact = impacts[request.request_id]
            recorder.mark_artifacts_destroyed(
                now,
                runs=[row.run_id for row in impact.vectors],
                states=[row.state_seq for row in impact.states if row != current],
                versions=[(row.name, row.version) for row in impact.versions],
            )
            recorder.forget_records(request.key, _named(filed, request.key))
            if request.record.records is None:
                recorder.add_all(erased_likenesses(workspace, recorder.read, request.key))
                recorder.mark_erased(request.key, now)
        recorder.forget_environments(now)
    workspace.lineage.rewrite()


def _named(requests: Iterable[RequestRecord], key: str) -> set[str]:
    """The digests of records that any request of this contributor named."""
    own = [request.records or () for request in requests if request.contributor_key == key]
    return {record for records in own for record in records}


STEP = Step("purged", purge)
