"""The model without who left: verified, evaluated and served, before anything old is destroyed.

The steps `verified`, `evaluated` and `registered` of one or several requests: one rebuild, one
evaluation, one model version, and a record for each request.
"""

from collections.abc import Sequence
from typing import Any

from flows.evaluating import aggregate, evaluate_state, write_metrics
from flows.keeping import drop_joined
from flows.merging import current_state_or_none
from flows.registering import promote, register
from flows.removal import Removal
from flows.verifying import verify_state
from lineage import DatasetVersion, Evaluation

_NOTHING_BUILT = {"nothing_built": True}


def verify(removals: Sequence[Removal]) -> None:
    """Rebuild the merge from the remaining vectors and compare bits. Raises ExactnessError.

    The rebuilt state never saw who left: it is the reference that the removal must equal, byte for
    byte. Where only masks are kept, digests take its place.
    """
    place = removals[0].workspace
    if current_state_or_none(place) is None:
        _record(removals, "verified", _NOTHING_BUILT)
        return
    verification = verify_state(place)
    verification.require()
    for removal in removals:
        drop_joined(place, removal.key)
    _record(removals, "verified", verification.as_dict())


def evaluate(removals: Sequence[Removal]) -> None:
    """Score the new state for who stays, and unmasked for who leaves."""
    place = removals[0].workspace
    state = current_state_or_none(place)
    if state is None:
        _record(removals, "evaluated", _NOTHING_BUILT)
        return
    departed = [dataset for removal in removals if (dataset := _departed(removal)) is not None]
    after = evaluate_state(place, state, departed)
    with place.lineage.reader() as reader:
        members = reader.members(state.state_seq)
    for removal in removals:
        before = _evaluations_before(removal)
        removal.done(
            "evaluated",
            {
                "contributor": {
                    "before": own_values(before, removal.key),
                    "after": own_values(after, removal.key),
                },
                "retained": {
                    "before": aggregate(members, before),
                    "after": aggregate(members, after),
                },
            },
        )


def register_new(removals: Sequence[Removal]) -> None:
    """Register the new state and make it the champion, before anything old is destroyed."""
    place = removals[0].workspace
    state = current_state_or_none(place)
    if state is None:
        _record(removals, "registered", _NOTHING_BUILT)
        return
    version = register(place, state, write_metrics(place, state))
    promote(place, version)
    details = {
        "model": version.name,
        "version": version.version,
        "served_sha256": version.served_sha256,
        "state_sha256": state.state_sha256,
    }
    _record(removals, "registered", details)


def own_values(rows: Sequence[Evaluation], key: str) -> dict[str, float]:
    """One contributor's measurements, by setting and split."""
    return {f"{row.setting}.{row.split}": row.value for row in rows if row.contributor_key == key}


def _record(removals: Sequence[Removal], step: str, details: dict[str, Any]) -> None:
    for removal in removals:
        removal.done(step, details)


def _departed(removal: Removal) -> DatasetVersion | None:
    """The dataset they were last in the merge with, or what they brought and never was.

    None for some records: the contributor stays and is scored as a member.
    """
    if removal.request.records is not None:
        return None
    with removal.workspace.lineage.reader() as reader:
        states = reader.impact(removal.key).states
        rows = reader.member_datasets(states[-1].state_seq) if states else []
        rows = rows or reader.current_datasets()
    return next((row for row in rows if row.contributor_key == removal.key), None)


def _evaluations_before(removal: Removal) -> list[Evaluation]:
    """The evaluations of the last state that still held what is withdrawn."""
    states = removal.impact().states
    with removal.workspace.lineage.reader() as reader:
        return reader.evaluations(states[-1].state_seq) if states else []
