"""A dry run: what a request would destroy, and what is known of the quality before and after.

It changes nothing. Objects are found by the same code that a purge destroys by; only what stays is
told from lineage instead of from DVC's record, since the record still has everyone in it.
"""

from dataclasses import asdict, dataclass
from typing import Any

from flows.data.look_alikes import LookAlike, look_alikes
from flows.erasure.request import Request
from flows.erasure.results import Evaluated, Results
from flows.erasure.targets import TARGETS, Found, Needed, Scope, shared_content
from flows.errors import UsageError
from flows.models.measures import MEASURES
from flows.models.metrics import aggregate, own_values
from flows.workspace.current_state import current_state_or_none
from flows.workspace.workspace import Workspace
from lineage import Impact


@dataclass(frozen=True)
class Plan:
    """What a request would destroy now, object by object, and what is known of quality."""

    request_id: str
    contributor_key: str
    objects: list[Found]
    kept_because_shared: list[str]
    """MD5 of withdrawn content that another contributor gave too."""
    quality: dict[str, dict[str, float]]
    """Recorded measurements; see `_quality`."""
    look_alikes: list[LookAlike]
    """Whose id looks like that of who withdraws."""

    @property
    def bytes(self) -> int:
        """Size of all objects together."""
        return sum(one.bytes or 0 for one in self.objects)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "bytes": self.bytes}


def plan(workspace: Workspace, request_id: str) -> Plan:
    """List every object that a request would destroy. Raises UsageError once it has ended.

    In MLflow and DVC this asks the stores themselves; DvcError, ModelStoreError where one cannot be
    reached.
    """
    request = Request(workspace, request_id)
    if request.next_step() is None:
        raise UsageError(
            f"{request_id} has ended: nothing is planned.",
            remedy=f"see what became of it with `sift opt-out status {request_id}`.",
        )
    impact = request.impact()
    scope = Scope(workspace, Needed(workspace, without=request.key))
    found = [
        one
        for target in TARGETS
        for one in target(scope).find([request], {request_id: impact})[request_id]
    ]
    return Plan(
        request_id=request_id,
        contributor_key=request.key,
        objects=found,
        kept_because_shared=shared_content(impact, scope.needed),
        quality=_quality(request, impact),
        look_alikes=_look_alikes(request),
    )


def _look_alikes(request: Request) -> list[LookAlike]:
    with request.workspace.lineage.reader() as reader:
        name = reader.contributor(request.key).external_id
        return look_alikes(request.workspace, reader, name, request.key)


def _quality(request: Request, impact: Impact) -> dict[str, dict[str, float]]:
    """What is recorded of the current model, and how earlier opt-outs changed it for who stayed.

    `leaver`: served with their mask now (`masked`), what unmasked weights give on their rows
    (`merged`: about what they get afterwards), and the base model. `retained`: means of everyone
    else now. `change_by_opt_out`: how much the means of `masked.held_out` of who stayed changed in
    each earlier opt-out.
    """
    state = current_state_or_none(request.workspace)
    if state is None:
        return {}
    with request.workspace.lineage.reader() as reader:
        rows = reader.evaluations(state.state_seq)
        others = [m for m in reader.members(state.state_seq) if m.contributor_key != request.key]
        earlier = [
            Results.of(row.request_id, reader.steps(row.request_id)) for row in reader.requests()
        ]
    changes: dict[str, float] = {}
    for results in earlier:
        evaluated = results.get(Evaluated)
        retained = evaluated.retained if evaluated else None
        if retained is None:
            continue
        for metric in MEASURES:
            # There is none of fewer than `evaluate.smallest_group` members with a row to read.
            mean = f"masked.held_out.{metric}.mean"
            if mean in retained.before and mean in retained.after:
                change = retained.after[mean] - retained.before[mean]
                changes[f"{results.request_id} {metric}"] = round(change, 6)
    return {
        "leaver": own_values(rows, request.key),
        "retained": aggregate(others, rows, request.workspace.settings.evaluate.smallest_group),
        "change_by_opt_out": changes,
    }
