"""Scores as tables: one line a method, one column a merge; CSV, Markdown and the terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from benchmarks.fidelity.exactness import Removal
from benchmarks.fidelity.methods import INDEPENDENT, METHODS
from benchmarks.fidelity.scoring import Round, ScoreRow
from flows.models.measures import MEASURES, Measure
from lineage.records import Metric

SPLITS = {"held_in": "Held-in", "held_out": "Held-out"}
AGGREGATES = {
    ("held_in", "mean"): "Held-in {metric}, mean",
    ("held_out", "mean"): "Held-out {metric}, mean",
    ("held_in", "worst_decile"): "Held-in {metric}, mean of the worst decile of contributors",
    ("held_out", "worst_decile"): "Held-out {metric}, mean of the worst decile of contributors",
}


def summarize(
    rows: Sequence[ScoreRow], names: Sequence[str], moments: Sequence[Round]
) -> pd.DataFrame:
    """Aggregates over contributors: one row per method, round, role, split, metric.

    A method that does not depend on the members is scored once and averaged over those of each
    round.
    """
    scores = pd.DataFrame([asdict(row) for row in rows])
    parts = []
    for moment in moments:
        groups = {"member": moment.members(names), "departed": moment.departed(names)}
        for role, group in groups.items():
            if group:
                parts.append(_of_round(scores, moment, role, group))
    return pd.concat(parts, ignore_index=True)


def with_published(summary: pd.DataFrame, path: Path) -> pd.DataFrame:
    """A summary of one method with the published lines of all others."""
    published = pd.read_csv(path)
    others = published[~published.method.isin(summary.method.unique())]
    together = pd.concat([others, summary], ignore_index=True)
    order = ["left", "size", "role", "method", "split", "metric"]  # that of `summarize`
    return together.sort_values(order, ascending=[True, True, False, True, True, True])


def by_metric(summary: pd.DataFrame) -> Iterator[tuple[Measure, pd.DataFrame]]:
    """What was measured in each way."""
    for metric, measure in MEASURES.items():
        own = summary[summary.metric == metric]
        if len(own):
            yield measure, own


def growing(summary: pd.DataFrame, split: str, aggregate: str) -> pd.DataFrame:
    """One metric by method (rows) and number of members T (columns), nobody having left."""
    chosen = summary[(summary.left == 0) & (summary.role == "member") & (summary.split == split)]
    return in_order(chosen.pivot(index="method", columns="size", values=aggregate))


def shrinking(summary: pd.DataFrame, split: str) -> pd.DataFrame:
    """The mean of one metric after opt-outs: of who stays, and of who left, served unmasked."""
    after = summary[(summary.left > 0) & (summary.split == split)].copy()
    who = after.role.map({"member": "stay", "departed": "left"})
    after["column"] = [f"{left} left: who {who}" for left, who in zip(after.left, who, strict=True)]
    table = after.pivot(index="method", columns="column", values="mean")
    order = after.sort_values(["left", "role"], ascending=[True, False])
    return in_order(table[list(order.column.drop_duplicates())])


def removals(found: Sequence[Removal]) -> pd.DataFrame:
    """What is left of who opted out, by way of removing."""
    return pd.DataFrame(
        {
            "removal": removal.method,
            "merged": removal.size,
            "left": removal.left,
            "entries that differ": f"{removal.differing:.2%}",
            "largest served difference": f"{removal.largest:.2g}",
            "bit for bit": "yes" if removal.identical else "no",
        }
        for removal in found
    )


def page(summary: pd.DataFrame, removed: pd.DataFrame) -> str:
    """All tables in Markdown, for the docs."""
    parts = []
    for measure, own in by_metric(summary):
        for (split, aggregate), heading in AGGREGATES.items():
            table = markdown(growing(own, split, aggregate), "method")
            title = heading.format(metric=measure.words)
            parts += [f"**{title}**, by number of contributors merged", table]
        for split, name in SPLITS.items():
            title = f"{name} {measure.words}, mean, after opt-outs"
            parts += [f"**{title}**; who left is served unmasked"]
            parts += [markdown(shrinking(own, split), "method")]
    parts += ["**What is left of who opted out**, beside the model that never had them"]
    parts += [markdown(removed, "", index=False)]
    return "\n\n".join(parts) + "\n"


def markdown(table: pd.DataFrame, corner: str, index: bool = True) -> str:
    """A table in Markdown, numbers to three digits."""
    header = [corner, *map(str, table.columns)] if index else list(map(str, table.columns))
    lines = [header, ["---"] * len(header)]
    for name, values in zip(table.index, table.to_numpy().tolist(), strict=True):
        cells = [_cell(value) for value in values]
        lines.append([str(name), *cells] if index else cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _of_round(scores: pd.DataFrame, moment: Round, role: str, group: Sequence[str]) -> pd.DataFrame:
    once = scores.method.isin(list(INDEPENDENT)) & (scores.role == "member")
    if role == "departed":  # their own model is destroyed with them
        once &= scores.method == next(iter(INDEPENDENT))
    here = (scores["size"] == moment.size) & (scores.left == moment.left) & (scores.role == role)
    chosen = scores[(once | here) & scores.contributor.isin(list(group))]
    chosen = chosen.drop_duplicates(["method", "contributor", "split", "metric"])
    grouped = chosen.groupby(["method", "split", "metric"])
    result = grouped.agg(mean=("value", "mean"), chosen=("chosen", "first"))
    result["worst_decile"] = [_worst_decile(metric, own.value) for (_, _, metric), own in grouped]
    result["contributors"] = grouped.size()
    result = result.reset_index()
    return result.assign(size=moment.size, left=moment.left, role=role)


def _worst_decile(metric: Metric, values: "pd.Series[float]") -> float:
    worst = values.nsmallest if MEASURES[metric].is_share else values.nlargest
    return float(worst(max(1, len(values) // 10)).mean())


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """The lines of a table in the order in which methods are told."""
    return table.reindex([name for name in METHODS if name in table.index])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.3f}"
    return str(value)
