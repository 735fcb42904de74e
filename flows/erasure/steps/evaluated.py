"""`evaluated`: the new model is scored, and asked what left, beside one that never saw it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flows.data.datasets import Dataset, load_dataset
from flows.data.rows import record_json
from flows.erasure.removal_audit import audit_opt_outs, require_passed, told
from flows.erasure.request import Request
from flows.erasure.results import Audit, Evaluated, Removal, Sides
from flows.erasure.steps.step import of_the_state
from flows.models.checks import Verification
from flows.models.evaluate import evaluate_state
from flows.models.metrics import aggregate, own_values
from flows.workspace.recorded_file import dataset_file
from flows.workspace.recorded_files import damaged_members, put_back
from lineage import DatasetVersionRecord, EvaluationRecord, MergeStateRecord

_NOTHING_TO_ASK = Audit(
    refused="Nothing of what is withdrawn had trained the model that served, or its rows are lost."
)
_NO_REFERENCE = Audit(
    refused="The merge was derived, and not rebuilt from the vectors of who stays alone, so there "
    "was no model that never saw who left to compare with. Where an audit rebuilds it later and "
    "finds the same bytes, no question could have told the two apart."
)


def evaluate(requests: Sequence[Request], state: MergeStateRecord) -> None:
    """Score the new state for who stays, and unmasked for who leaves."""
    workspace = requests[0].workspace
    departed = [dataset for request in requests if (dataset := _departed(request)) is not None]
    # Whoever leaves and whose rows are lost leaves all the same, not scored.
    departed = [
        dataset for dataset in departed if put_back(workspace, dataset_file(workspace, dataset))
    ]
    damaged = damaged_members(workspace, state.state_seq)
    after = evaluate_state(workspace, state, departed, passing_over=damaged)
    audits = _audits(requests, state)
    _record_evaluations(requests, state, after, audits)


def _record_evaluations(
    requests: Sequence[Request],
    state: MergeStateRecord,
    after: Sequence[EvaluationRecord],
    audits: Mapping[str, Audit],
) -> None:
    workspace = requests[0].workspace
    smallest = workspace.settings.evaluate.smallest_group
    with workspace.lineage.reader() as reader:
        members = reader.members(state.state_seq)
    for request in requests:
        before = _evaluations_before(request)
        contributor = Sides(
            before=own_values(before, request.key), after=own_values(after, request.key)
        )
        # Each side of all who were scored, as it is published elsewhere: beside that, a mean over
        # those alone who were scored on both sides would tell the value of the one who is missing.
        retained = Sides(
            before=aggregate(members, before, smallest), after=aggregate(members, after, smallest)
        )
        result = Evaluated(
            contributor=contributor, retained=retained, audit=audits[request.request_id]
        )
        request.done("evaluated", result)


def _audits(requests: Sequence[Request], state: MergeStateRecord) -> dict[str, Audit]:
    """What the audit of each removal found, or why there was nothing to ask.

    Raises RemovalAuditError where a removal is not what it should be.
    """
    audits = {request.request_id: _NOTHING_TO_ASK for request in requests}
    asked = {request: rows for request in requests if (rows := _withdrawn(request)) is not None}
    if requests[0].results().need(Verification).level == "derived":
        return audits | {request.request_id: _NO_REFERENCE for request in asked}
    found = audit_opt_outs(requests[0].workspace, state, list(asked.values()))
    for request, audit in zip(asked, found, strict=True):
        require_passed(audit, request.request_id)
        audits[request.request_id] = told(audit)
    return audits


def _withdrawn(request: Request) -> Dataset | None:
    """What trained the vector that left and is withdrawn, beside what was held out; None: nothing.

    It is read once more before the purge destroys it.
    """
    if not request.results().need(Removal).was_member:
        return None  # the rows may be in DVC's history alone
    with request.workspace.lineage.reader() as reader:
        impact = reader.impact(request.key, request.record.records)
        rows = reader.member_datasets(impact.states[-1].state_seq)
    record = next(row for row in rows if row.contributor_key == request.key)
    if not put_back(request.workspace, dataset_file(request.workspace, record)):
        return None  # lost: whoever leaves goes all the same, and there is nothing to ask with
    whole, records = load_dataset(request.workspace, record), request.record.records
    digests = request.workspace.digests
    train = [
        row
        for row in whole.train
        if records is None or digests.record(request.key, record_json(row)) in records
    ]
    return replace(whole, train=train) if train and whole.test else None


def _departed(request: Request) -> DatasetVersionRecord | None:
    """The dataset they were last in the merge with, or what they brought and never was.

    None for some records: the contributor stays and is scored as a member.
    """
    if request.record.records is not None:
        return None
    with request.workspace.lineage.reader() as reader:
        states = reader.impact(request.key).states
        rows = reader.member_datasets(states[-1].state_seq) if states else []
        rows = rows or reader.current_datasets()
    return next((row for row in rows if row.contributor_key == request.key), None)


def _evaluations_before(request: Request) -> list[EvaluationRecord]:
    """The evaluations of the last state that still held what is withdrawn."""
    states = request.impact().states
    with request.workspace.lineage.reader() as reader:
        return reader.evaluations(states[-1].state_seq) if states else []


STEP = of_the_state("evaluated", evaluate)
