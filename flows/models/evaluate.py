"""How good a merge state is for every contributor it serves, as rows, metrics and a plot."""

import json
import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from io import StringIO

import numpy as np
from numpy.typing import NDArray

import sift_bytes
import sift_core
from flows.data.datasets import load_dataset
from flows.data.rows import to_example
from flows.data.spreadsheet import write_csv
from flows.logging import event
from flows.models.measures import MEASURES, SETTINGS, SPLITS
from flows.models.weights import member_weights, members_weights, served_weights
from flows.progress import tracked
from flows.training.base_model import scoring_base
from flows.training.readable_rows import encode_readable
from flows.workspace.recording import Recording
from flows.workspace.workspace import Workspace
from lineage import DatasetVersionRecord, EvaluationRecord, Member, MergeStateRecord
from lineage.records import Metric, Setting
from sift_core import BaseModel
from sift_core.serving import Weights

DECIMALS = 2
"""Of a published number: the difference of two means says less of whoever came or left between."""


def evaluate_state(
    workspace: Workspace,
    state: MergeStateRecord,
    departed: Sequence[DatasetVersionRecord] = (),
    *,
    passing_over: Collection[str] = (),
) -> list[EvaluationRecord]:
    """Score a state for all its members, and record it; the rows of that state.

    Base and merged weights and the contributor's own masked weights are each scored on the rows
    that trained the contributor (held in) and on those that did not (held out), of the dataset that
    is in this merge: rows that wait for a build have trained nothing yet. `departed` are the
    datasets of contributors who are leaving: they are served unmasked, like anyone else.
    Members scored before are not scored again, and those `passing_over` (keys) not at all. Rows
    that the base model cannot read are left out: `row_count` says how many were scored.
    """
    with workspace.lineage.reader() as reader:
        members = reader.members(state.state_seq)
        known = {row.contributor_key for row in reader.evaluations(state.state_seq)}
        datasets = {row.contributor_key: row for row in reader.member_datasets(state.state_seq)}
    todo = [m for m in members if m.contributor_key not in {*known, *passing_over}]
    gone = [record for record in departed if record.contributor_key not in known]
    if todo or gone:
        base = scoring_base(workspace)
        served = served_weights(workspace, state, base.trainable, len(members))
        shared = members_weights(workspace, state, base.trainable, len(members))
        with Recording(workspace.lineage) as recording:
            for member in tracked("Evaluating", todo, len(todo)):
                masked = member_weights(workspace, base.trainable, shared, member)
                record = datasets[member.contributor_key]
                recording.add(_score(workspace, base, served, masked, record, state))
            for record in gone:
                recording.add(_score(workspace, base, served, None, record, state))
    with workspace.lineage.reader() as reader:
        return reader.evaluations(state.state_seq)


def write_metrics(workspace: Workspace, state: MergeStateRecord) -> dict[str, float]:
    """Write `metrics.json` and `plots/quality.csv` from the recorded evaluations of a state.

    Both go into git, so no number in them is of fewer than `metrics.smallest_group` members.
    Returns the metrics.
    """
    smallest = workspace.settings.metrics.smallest_group
    with workspace.lineage.reader() as reader:
        members = reader.members(state.state_seq)
        rows = reader.evaluations(state.state_seq)
    metrics = {"contributors": float(len(members)), **aggregate(members, rows, smallest)}
    text = json.dumps(metrics, indent=2, sort_keys=True) + "\n"
    sift_bytes.write_atomically(workspace.root / "metrics.json", text.encode())
    plot = _groups(members, rows, smallest)
    sift_bytes.write_atomically(workspace.root / "plots" / "quality.csv", plot.encode())
    return metrics


def aggregate(
    members: Sequence[Member], rows: Sequence[EvaluationRecord], smallest: int
) -> dict[str, float]:
    """The mean over members and the mean of the worst decile, by setting, split and metric.

    Each is of `smallest` members or more, or is left out.
    """
    metrics = {}
    for (setting, split, metric), ordered in sorted(_from_worst(members, rows).items()):
        of = {"mean": ordered, "worst_decile": ordered[: len(ordered) // 10]}
        for name, group in of.items():
            if len(group) >= smallest:
                mean = round(float(group.mean()), DECIMALS)
                metrics[f"{setting}.{split}.{metric}.{name}"] = mean
    return metrics


def _from_worst(
    members: Sequence[Member], rows: Sequence[EvaluationRecord]
) -> dict[tuple[Setting, str, Metric], NDArray[np.float64]]:
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


def _groups(members: Sequence[Member], rows: Sequence[EvaluationRecord], smallest: int) -> str:
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


def _score(
    workspace: Workspace,
    base: BaseModel,
    served: Weights,
    masked: Weights | None,
    record: DatasetVersionRecord,
    state: MergeStateRecord,
) -> list[EvaluationRecord]:
    dataset = load_dataset(workspace, record)
    weights: dict[Setting, Weights] = {"base": base.trainable, "merged": served}
    if masked is not None:
        weights["masked"] = masked
    rows = []
    for split, own in zip(SPLITS, (dataset.train, dataset.test), strict=True):
        examples, unread = encode_readable(workspace, base, [to_example(row) for row in own])
        if unread:
            event(
                "evaluation.rows_left_out",
                level=logging.WARNING,
                contributors=[record.contributor_key],
                count=unread.total(),
                found=f"{split}: {'; '.join(unread)}",
            )
        if not examples.records:
            continue
        for setting, chosen in weights.items():
            with base.serving(chosen) as model:
                scores = sift_core.evaluate(model, examples, base.scored_at_once)
            rows += [
                EvaluationRecord(
                    state_seq=state.state_seq,
                    contributor_key=record.contributor_key,
                    setting=setting,
                    split=split,
                    metric=score.metric,
                    value=score.value,
                    row_count=score.rows,
                    evaluated_at=datetime.now(UTC),
                )
                for score in scores
            ]
    return rows


def own_values(rows: Sequence[EvaluationRecord], key: str) -> dict[str, float]:
    """One contributor's measurements, by setting, split and metric."""
    return {
        f"{row.setting}.{row.split}.{row.metric}": row.value
        for row in rows
        if row.contributor_key == key
    }
