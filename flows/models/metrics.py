"""What is published of members' quality: means of groups, and how far each may be off.

Both files go into git, so no number in them is of fewer than `evaluate.smallest_group` members.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO

import numpy as np
from numpy.typing import NDArray

import sift_bytes
from flows.data.spreadsheet import write_csv
from flows.models.measures import MARGIN, MEASURES, SETTINGS
from flows.workspace.workspace import Workspace
from lineage import EvaluationRecord, Member, MergeStateRecord
from lineage.records import Metric, Setting

DECIMALS = 2
"""Of a published number: the difference of two means says less of whoever came or left between."""
CONFIDENCE = 0.95
"""Of the interval around a mean."""

Values = NDArray[np.float64]
"""Members' values of one measurement, from the worst to the best."""


@dataclass(frozen=True)
class Group:
    """The worst `share` of those who were scored, as an estimate of the worst `share` of all."""

    values: Values
    """Of the group, from the worst to the best."""
    share: float
    """1: everybody."""
    scored: float
    """Which share of the members was scored at all."""

    @property
    def mean(self) -> float:
        """Of the group."""
        return float(self.values.mean())

    @property
    def margin(self) -> float:
        """Half of the interval of the mean, by Student's t; 0 where every member was scored.

        Where the group ends depends on who was drawn, too: its mean is that of
        q − max(q − x, 0)/share over everybody x, with q the best of the group (Rockafellar and
        Uryasev, Optimization of conditional value-at-risk, 2000), so that of k values with the mean
        m and the variance s² has the variance (s² + (1 − share)(q − m)²)/k. Nobody is drawn twice,
        so it shrinks by 1 − scored.
        """
        count = len(self.values)
        if self.scored == 1 or count < 2:
            return 0.0
        from scipy.special import (
            stdtrit,
        )  # a third of a second, where everybody is scored for nothing

        edge = (1 - self.share) * (self.values[-1] - self.mean) ** 2
        variance = (self.values.var(ddof=1) + edge) * (1 - self.scored) / count
        return float(stdtrit(count - 1, (1 + CONFIDENCE) / 2) * np.sqrt(variance))


def write_metrics(workspace: Workspace, state: MergeStateRecord) -> dict[str, float]:
    """Write `metrics.json` and `plots/quality.csv` from the recorded evaluations of a state.

    Returns the metrics.
    """
    smallest = workspace.settings.evaluate.smallest_group
    with workspace.lineage.reader() as reader:
        members = reader.members(state.state_seq)
        rows = reader.evaluations(state.state_seq)
    metrics = {"contributors": float(len(members)), **aggregate(members, rows, smallest)}
    text = json.dumps(metrics, indent=2, sort_keys=True) + "\n"
    sift_bytes.write_atomically(workspace.root / "metrics.json", text.encode())
    plot = groups(members, rows, smallest)
    sift_bytes.write_atomically(workspace.root / "plots" / "quality.csv", plot.encode())
    return metrics


def aggregate(
    members: Sequence[Member], rows: Sequence[EvaluationRecord], smallest: int
) -> dict[str, float]:
    """The mean over members and that of the worst decile, by setting, split and metric.

    Beside each, as `mean_margin`, how far it may be off since not all were scored. Each is of
    `smallest` members or more, or is left out.
    """
    metrics, scored = {}, share_scored(members, rows)
    for (setting, split, metric), ordered in sorted(_from_worst(members, rows).items()):
        of = {
            "mean": Group(ordered, 1.0, scored),
            "worst_decile": Group(ordered[: len(ordered) // 10], 0.1, scored),
        }
        for name, group in of.items():
            if len(group.values) >= smallest:
                name = f"{setting}.{split}.{metric}.{name}"
                metrics[name] = round(group.mean, DECIMALS)
                metrics[name + MARGIN] = round(group.margin, DECIMALS)
    return metrics


def groups(members: Sequence[Member], rows: Sequence[EvaluationRecord], smallest: int) -> str:
    """The held-out quality of members from worst to best, as means of up to ten equal groups.

    Of those members who have a held-out row that the base model reads, share by share: `dvc plots`
    draws them on one axis.
    """
    values = _from_worst(members, rows)
    out = StringIO()
    table: list[list[object]] = []
    for metric in (metric for metric, measure in MEASURES.items() if measure.is_share):
        ordered = [values.get((setting, "held_out", metric), np.zeros(0)) for setting in SETTINGS]
        count = min(10, *(len(own) // smallest for own in ordered))
        for number in range(count):
            means = [np.array_split(own, count)[number].mean() for own in ordered]
            middle = round(100 * (number + 0.5) / count)
            table.append([middle, metric, *(f"{mean:.{DECIMALS}f}" for mean in means)])
    write_csv(out, ["percentile", "metric", *SETTINGS], table)
    return out.getvalue()


def share_scored(members: Sequence[Member], rows: Sequence[EvaluationRecord]) -> float:
    """Which share of the members was scored."""
    keys = {row.contributor_key for row in rows}
    scored = sum(member.contributor_key in keys for member in members)
    return scored / len(members) if members else 0.0


def own_values(rows: Sequence[EvaluationRecord], key: str) -> dict[str, float]:
    """One contributor's measurements, by setting, split and metric."""
    return {
        f"{row.setting}.{row.split}.{row.metric}": row.value
        for row in rows
        if row.contributor_key == key
    }


def _from_worst(
    members: Sequence[Member], rows: Sequence[EvaluationRecord]
) -> dict[tuple[Setting, str, Metric], Values]:
    """Members' values from worst to best, by setting, split and metric."""
    keys = {member.contributor_key for member in members}
    values: dict[tuple[Setting, str, Metric], list[float]] = defaultdict(list)
    for row in rows:
        if row.contributor_key in keys:
            values[row.setting, row.split, row.metric].append(row.value)
    return {
        of: np.sort(own) if MEASURES[of[-1]].is_share else np.sort(own)[::-1]
        for of, own in values.items()
    }
