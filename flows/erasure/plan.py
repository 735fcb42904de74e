"""A dry run: what a request would destroy, and what is known of the quality before and after.

It changes nothing. Objects are found by the same code that a purge destroys by; only what stays is
told from lineage instead of from DVC's record, since the record still has everyone in it.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from flows.data.look_alikes import LookAlike, look_alikes
from flows.erasure.removal import Removal
from flows.erasure.renewal import own_values
from flows.erasure.targets import DvcObjects, Files, Found, Holding, ModelVersions, shared_content
from flows.erasure.worker_target import WorkerArea
from flows.errors import UsageError
from flows.integrations.dvc.repository import BOTH
from flows.models.evaluate import aggregate
from flows.workspace.current_state import current_state_or_none
from flows.workspace.workspace import Workspace
from lineage import Impact

_MEAN = "masked.held_out.mean"
"""There is none of fewer than `metrics.smallest_group` members with a row that can be read."""


@dataclass(frozen=True)
class Plan:
    """What a request would destroy now, object by object, and what is known of quality."""

    request_id: str
    contributor_key: str
    objects: list[Found]
    kept_because_shared: list[str]
    """MD5 of withdrawn content that another contributor gave too."""
    quality: dict[str, dict[str, float]]
    """Recorded measurements, 0 to 1; see `_quality`."""
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
    removal = Removal(workspace, request_id)
    if removal.next_step() is None:
        raise UsageError(
            f"{request_id} has ended: nothing is planned.",
            remedy=f"see what became of it with `sift opt-out status {request_id}`.",
        )
    impact = removal.impact()
    needed = needed_content(workspace, impact)
    holdings: list[Holding] = [Files(workspace)]
    holdings += [DvcObjects(workspace, place, needed) for place in BOTH]
    holdings += [ModelVersions(workspace), WorkerArea(workspace)]
    found = [
        one
        for holding in holdings
        for one in holding.find([removal], {request_id: impact})[request_id]
    ]
    return Plan(
        request_id=request_id,
        contributor_key=removal.key,
        objects=found,
        kept_because_shared=shared_content(impact, needed),
        quality=_quality(removal, impact),
        look_alikes=_look_alikes(removal),
    )


def _look_alikes(removal: Removal) -> list[LookAlike]:
    with removal.workspace.lineage.reader() as reader:
        name = reader.contributor(removal.key).external_id
        return look_alikes(removal.workspace, reader, name, removal.key)


def needed_content(workspace: Workspace, impact: Impact) -> Collection[str]:
    """MD5 of what everyone else has in the workspace: data, and vectors and masks of the merge."""
    key = impact.contributor.contributor_key
    with workspace.lineage.reader() as reader:
        state = reader.current_state()
        members = reader.members(state.state_seq) if state else []
        merged = reader.member_datasets(state.state_seq) if state else []
        datasets = [*reader.current_datasets(), *merged]
    needed = {row.md5 for row in datasets if row.contributor_key != key}
    for member in members:
        if member.contributor_key != key:
            needed |= {member.vector_md5, member.mask_md5}
    return needed


def _quality(removal: Removal, impact: Impact) -> dict[str, dict[str, float]]:
    """What is recorded of the current model, and how earlier opt-outs changed it for who stayed.

    `leaver`: served with their mask now (`masked`), what unmasked weights give on their rows
    (`merged`: about what they get afterwards), and the base model. `retained`: means of everyone
    else now. `change_by_opt_out`: how much the mean of `masked.held_out` of who stayed changed in
    each earlier opt-out.
    """
    state = current_state_or_none(removal.workspace)
    if state is None:
        return {}
    with removal.workspace.lineage.reader() as reader:
        rows = reader.evaluations(state.state_seq)
        others = [m for m in reader.members(state.state_seq) if m.contributor_key != removal.key]
        steps = [step for row in reader.requests() for step in reader.steps(row.request_id)]
    changes: dict[str, float] = {}
    for step in steps:
        retained: Any = step.details.get("retained") if step.step == "evaluated" else None
        if retained and all(_MEAN in retained[when] for when in ("after", "before")):
            after, before = (retained[when][_MEAN] for when in ("after", "before"))
            changes[step.request_id] = round(after - before, 6)
    return {
        "leaver": own_values(rows, removal.key),
        "retained": aggregate(others, rows, removal.workspace.settings.metrics.smallest_group),
        "change_by_opt_out": changes,
    }
