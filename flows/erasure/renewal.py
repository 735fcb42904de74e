"""The model without who left: verified, evaluated and served, before anything old is destroyed.

The steps `verified`, `evaluated` and `registered` of one or several requests: one rebuild, one
evaluation, one model version, and a record for each request.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flows.data.datasets import Dataset, load_dataset
from flows.data.rows import record_json
from flows.erasure.removal import Removal
from flows.erasure.removal_audit import as_details, audit_opt_outs, require_passed
from flows.models.evaluate import aggregate, evaluate_state, write_metrics
from flows.models.register import promote, register
from flows.models.verify import verify_state
from flows.training.retention import drop_joined
from flows.workspace.current_state import current_state_or_none
from flows.workspace.recorded_files import damaged_members, dataset_file, put_back
from lineage import DatasetVersionRecord, EvaluationRecord, MergeStateRecord
from sift_core.errors import MissingReferenceError

_NOTHING_BUILT = {"nothing_built": True}
_NOTHING_TO_ASK = {
    "refused": "Nothing of what is withdrawn had trained the model that served, or its rows are "
    "lost."
}
_NO_REFERENCE = {
    "refused": "A file of somebody whose request is set aside is damaged, so no model that never "
    "saw who left could be made from vectors alone."
}


def verify(removals: Sequence[Removal]) -> None:
    """Rebuild the merge from the remaining vectors and compare bits. Raises ExactnessError.

    The rebuilt state never saw who left: it is the reference that the removal must equal, byte for
    byte. Where only masks are kept, digests take its place.
    """
    place = removals[0].workspace
    state = current_state_or_none(place)
    if state is None:
        _record(removals, "verified", _NOTHING_BUILT)
        return
    verification = verify_state(place, damaged=damaged_members(place, state.state_seq))
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
    # Whoever leaves and whose rows are lost leaves all the same, not scored.
    departed = [dataset for dataset in departed if put_back(place, dataset_file(place, dataset))]
    damaged = damaged_members(place, state.state_seq)
    after = evaluate_state(place, state, departed, passing_over=damaged)
    audits = _audits(removals, state, damaged)
    with place.lineage.session():
        _record_evaluations(removals, state, after, audits)


def _record_evaluations(
    removals: Sequence[Removal],
    state: MergeStateRecord,
    after: Sequence[EvaluationRecord],
    audits: Mapping[str, dict[str, Any]],
) -> None:
    place = removals[0].workspace
    smallest = place.settings.metrics.smallest_group
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
                    "before": aggregate(members, before, smallest),
                    "after": aggregate(members, after, smallest),
                },
                "audit": audits[removal.request_id],
            },
        )


def _audits(
    removals: Sequence[Removal], state: MergeStateRecord, damaged: Collection[str]
) -> dict[str, dict[str, Any]]:
    """What the audit of each removal found, or why there was nothing to ask.

    Raises RemovalAuditError where a removal is not what it should be.
    """
    audits = {removal.request_id: _NOTHING_TO_ASK for removal in removals}
    if damaged:
        return dict.fromkeys(audits, _NO_REFERENCE)
    asked = {removal: rows for removal in removals if (rows := _withdrawn(removal)) is not None}
    try:
        found = audit_opt_outs(removals[0].workspace, state, list(asked.values()))
    except MissingReferenceError as error:
        return audits | {removal.request_id: {"refused": str(error)} for removal in asked}
    for removal, audit in zip(asked, found, strict=True):
        require_passed(audit, removal.request_id)
        audits[removal.request_id] = as_details(audit)
    return audits


def _withdrawn(removal: Removal) -> Dataset | None:
    """What trained the vector that left and is withdrawn, beside what was held out; None: nothing.

    It is read once more before the purge destroys it.
    """
    with removal.workspace.lineage.reader() as reader:
        steps = {step.step: step.details for step in reader.steps(removal.request_id)}
        if not steps["removed"]["was_member"]:
            return None  # the rows may be in DVC's history alone
        impact = reader.impact(removal.key, removal.request.records)
        rows = reader.member_datasets(impact.states[-1].state_seq)
    record = next(row for row in rows if row.contributor_key == removal.key)
    if not put_back(removal.workspace, dataset_file(removal.workspace, record)):
        return None  # lost: whoever leaves goes all the same, and there is nothing to ask with
    whole, records = load_dataset(removal.workspace, record), removal.request.records
    digests = removal.workspace.digests
    train = [
        row
        for row in whole.train
        if records is None or digests.record(removal.key, record_json(row)) in records
    ]
    return replace(whole, train=train) if train and whole.test else None


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


def own_values(rows: Sequence[EvaluationRecord], key: str) -> dict[str, float]:
    """One contributor's measurements, by setting and split."""
    return {f"{row.setting}.{row.split}": row.value for row in rows if row.contributor_key == key}


def _record(removals: Sequence[Removal], step: str, details: dict[str, Any]) -> None:
    with removals[0].workspace.lineage.session():
        for removal in removals:
            removal.done(step, details)


def _departed(removal: Removal) -> DatasetVersionRecord | None:
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


def _evaluations_before(removal: Removal) -> list[EvaluationRecord]:
    """The evaluations of the last state that still held what is withdrawn."""
    states = removal.impact().states
    with removal.workspace.lineage.reader() as reader:
        return reader.evaluations(states[-1].state_seq) if states else []
