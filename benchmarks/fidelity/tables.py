"""Scores as tables: one line a method, one column a merge; CSV, Markdown and the terminal."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from benchmarks.fidelity.exactness import Removal
from benchmarks.fidelity.methods import INDEPENDENT, METHODS
from benchmarks.fidelity.scoring import Round, ScoreRow

SPLITS = {"held_in": "Held-in", "held_out": "Held-out"}
MEASURES = {
    ("held_in", "mean"): "Held-in, mean",
    ("held_out", "mean"): "Held-out, mean",
    ("held_in", "worst_decile"): "Held-in, mean of the worst decile of contributors",
    ("held_out", "worst_decile"): "Held-out, mean of the worst decile of contributors",
}


def summarize(
    rows: Sequence[ScoreRow], names: Sequence[str], moments: Sequence[Round]
) -> pd.DataFrame:
    """Aggregates over contributors: one row per method, round, role, split.

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
    order = ["left", "size", "role", "method", "split"]  # that of `summarize`
    return together.sort_values(order, ascending=[True, True, False, True, True])


def growing(summary: pd.DataFrame, split: str, measure: str) -> pd.DataFrame:
    """Quality by method (rows) and number of members T (columns), nobody having left."""
    chosen = summary[(summary.left == 0) & (summary.role == "member") & (summary.split == split)]
    return in_order(chosen.pivot(index="method", columns="size", values=measure))


def shrinking(summary: pd.DataFrame, split: str) -> pd.DataFrame:
    """Mean quality after opt-outs: of who stays, and of who left and is served unmasked."""
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
    for (split, measure), heading in MEASURES.items():
        table = markdown(growing(summary, split, measure), "method")
        parts += [f"**{heading}**, by number of contributors merged", table]
    for split, name in SPLITS.items():
        parts += [f"**{name}, mean, after opt-outs**; who left is served unmasked"]
        parts += [markdown(shrinking(summary, split), "method")]
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
    chosen = chosen.drop_duplicates(["method", "contributor", "split"])
    grouped = chosen.groupby(["method", "split"])
    result = grouped.agg(mean=("value", "mean"), chosen=("chosen", "first"))
    result["worst_decile"] = grouped.value.apply(_worst_decile)
    result["contributors"] = grouped.size()
    result = result.reset_index()
    return result.assign(size=moment.size, left=moment.left, role=role)


def _worst_decile(values: "pd.Series[float]") -> float:
    return float(values.nsmallest(max(1, len(values) // 10)).mean())


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """The lines of a table in the order in which methods are told."""
    return table.reindex([name for name in METHODS if name in table.index])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.3f}"
    return str(value)
