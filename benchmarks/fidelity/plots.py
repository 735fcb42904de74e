"""Scores as pictures, with their numbers beside them in the CSV."""

from pathlib import Path

import matplotlib
import pandas as pd

from benchmarks.fidelity import methods, tables

matplotlib.use("Agg")  # no screen is asked for

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

_OURS = methods.COUNTED
_DASHES = {
    "base (zero-shot)": ":",
    "local models": "--",
    "local, sign-fixed": "--",
    methods.FLOAT_FORM: ":",
}
_BEYOND_THE_PALETTE = {methods.FLOAT_FORM: "black", methods.CENTRAL: "navy"}


def growing(summary: pd.DataFrame, title: str, path: Path) -> None:
    """Quality over the number of members: held-in and held-out, mean and worst decile.

    By the first metric; the tables have all.
    """
    measure, summary = next(tables.by_metric(summary))
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), sharex=True, layout="constrained")
    for axis, ((split, aggregate), heading) in zip(
        axes.flat, tables.AGGREGATES.items(), strict=True
    ):
        table = tables.growing(summary, split, aggregate)
        for number, (method, values) in enumerate(table.iterrows()):
            values = values.dropna()
            axis.plot(
                values.index,
                values.to_numpy(),
                label=str(method),
                marker="o",
                markersize=3,
                color=_BEYOND_THE_PALETTE.get(str(method), f"C{number}"),
                linewidth=3 if method == _OURS else 1.2,
                linestyle=_DASHES.get(str(method), "-"),
            )
        axis.set_xscale("log")
        axis.set_xticks(list(table.columns), [str(size) for size in table.columns])
        axis.minorticks_off()
        axis.set_title(heading.format(metric=measure.words), fontsize=9)
        axis.set_ylabel(measure.words)
        axis.grid(alpha=0.3)
    for axis in axes[1]:
        axis.set_xlabel("contributors merged (T)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=9, frameon=False)
    figure.suptitle(title)
    _save(figure, path)


def shrinking(summary: pd.DataFrame, title: str, path: Path) -> None:
    """Held-in quality after opt-outs: who stays, and who left, served unmasked."""
    measure, summary = next(tables.by_metric(summary))
    after = summary[(summary.left > 0) & (summary.split == "held_in")]
    rounds = sorted(after.left.unique())
    figure, axes = plt.subplots(
        1, len(rounds), figsize=(11, 4.6), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, left in zip(axes[0], rounds, strict=True):
        here = after[after.left == left]
        table = tables.in_order(here.pivot(index="method", columns="role", values="mean"))
        table = table.reindex(columns=["member", "departed"])
        table.columns = ["who stays", "who left, unmasked"]
        table.plot.barh(ax=axis, legend=False, color=["C0", "C3"], width=0.75)
        axis.invert_yaxis()
        axis.set_title(f"{left} of {here['size'].iloc[0]} left", fontsize=10)
        axis.set_xlabel(measure.words)
        axis.set_ylabel("")
        axis.grid(axis="x", alpha=0.3)
    figure.suptitle(title)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": ""})
    plt.close(figure)
