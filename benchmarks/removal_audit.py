"""What the audit of a removal sees on a real model: exact, one tensor forgotten, not removed.

    python -m benchmarks.removal_audit      four TOFU authors on SmolLM2-135M, one of whom leaves

Writes docs/images/removal-audit.png and the table of docs/explanation/audits.md; takes minutes.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated

import matplotlib
import typer
from rich.progress import track

from benchmarks.assets import smollm2
from benchmarks.documents import put_between
from flows.data.canaries import answers_of, canary_row
from flows.data.rows import GENERATION, parse_row, to_example
from flows.erasure.removal_audit import in_other_words
from sift_core import (
    AuditRows,
    BaseModel,
    Encoded,
    Example,
    FinetuneSettings,
    FullWeights,
    Grid,
    MergeState,
    Reading,
    Relearning,
    RemovalAudit,
    SignVector,
    TaskVector,
    audit_removal,
    encode_examples,
    finetune,
    load_base,
    prepare_base,
    served_weights,
)
from sift_core.serving import Weights

matplotlib.use("Agg")  # no screen is asked for

from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs/explanation/audits.md"
PICTURE = ROOT / "docs" / "images" / "removal-audit.png"
MARK = "audit: python -m benchmarks.removal_audit"

AUTHORS, TRAINED, HELD_OUT = 4, 6, 4
TRAIN_ONLY = ("model.layers.2[4-9].*",)
CANARY = "c0ffee0123456789"
SIGNS, GRID = SignVector(20250404), Grid(24)
SETTINGS = FinetuneSettings(learning_rate=6e-4, steps=12)
ATTACK = Relearning(steps=6, learning_rate=3e-4)
_COLOURS = {"exact": "#17703c", "one tensor forgotten": "#c4501b", "not removed": "#8a8f98"}


Asked = tuple[Example, Example]
"""A question with its answer, and the same in other words."""


@dataclass(frozen=True)
class Case:
    """One way of removing, and what the audit found of it."""

    name: str
    audit: RemovalAudit


def main(
    data: Annotated[Path, typer.Option(help="TOFU's questions, with paraphrases.")] = ROOT
    / "../shared/data/tofu/perturbed.jsonl",
    cache: Annotated[Path, typer.Option(help="Downloads and the base model.")] = ROOT / ".bench",
) -> None:
    """Finetune four authors, remove one in three ways, audit each; a picture and a table."""
    cases = measure(data, cache)
    draw(cases, PICTURE)
    text = table(cases)
    put_between(DOCUMENT, MARK, text)
    typer.echo(text)


def measure(data: Path, cache: Path) -> list[Case]:
    """Each way of removing, audited."""
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / "audit-base"
    if not folder.is_dir():
        prepare_base(str(smollm2(cache)), folder, (), seed=0, max_length=192)
    base = load_base(folder, (), FullWeights(TRAIN_ONLY))
    authors = _authors(data)
    vectors = [
        finetune(
            base, _encode(base, [row for row, _ in rows[:TRAINED]]), SIGNS, GRID, SETTINGS
        ).vector
        for rows in track(authors, "Finetuning")
    ]
    everyone = MergeState.rebuild(vectors, base.shapes, GRID, SIGNS.seed)
    reference = _served(base, vectors[1:])
    rows = _audit_rows(base, authors[0])
    removed = served_weights(base.trainable, everyone.subtract(vectors[0]), AUTHORS - 1)
    kept = served_weights(base.trainable, everyone, AUTHORS)
    forgotten = max(removed, key=lambda name: float((removed[name] - kept[name]).norm()))
    ways: dict[str, Weights] = {
        "exact": removed,
        "one tensor forgotten": {**removed, forgotten: kept[forgotten]},
        "not removed": kept,
    }
    return [
        Case(name, audit_removal(base, weights, reference, rows, ATTACK))
        for name, weights in ways.items()
    ]


def table(cases: list[Case]) -> str:
    """One line a probe, one column a way of removing; means where a probe has many numbers."""
    first = cases[0].audit.probes
    lines = [
        "| probe | never saw the leaver | " + " | ".join(case.name for case in cases) + " |",
        "| --- | ---: |" + " ---: |" * len(cases),
    ]
    for at, probe in enumerate(first):
        found = [case.audit.probes[at] for case in cases]
        numbers = [probe.reference, *(own.model for own in found)]
        lines.append(f"| {probe.name} | " + " | ".join(f"{fmean(n):.4f}" for n in numbers) + " |")
    largest = (max(p.difference for p in case.audit.probes) for case in cases)
    lines.append("| largest difference | | " + " | ".join(f"{one:.3g}" for one in largest) + " |")
    verdicts = ("passed" if case.audit.passed else "FAILED" for case in cases)
    lines.append("| **audit** | | " + " | ".join(f"**{verdict}**" for verdict in verdicts) + " |")
    return "\n".join(lines)


def draw(cases: list[Case], path: Path) -> None:
    """Relearning curves and answer probabilities beside the model that never saw the leaver."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    curves = next(probe for probe in cases[0].audit.probes if probe.is_curve)
    answers = cases[0].audit.probes[2]
    steps = range(len(curves.reference))
    left.plot(steps, curves.reference, color="black", linewidth=5, alpha=0.25, label="never saw it")
    right.plot(answers.reference, color="black", linewidth=5, alpha=0.25, label="never saw it")
    for case in cases:
        curve = next(probe for probe in case.audit.probes if probe.is_curve)
        style = {"color": _COLOURS[case.name], "label": case.name, "marker": "o", "markersize": 3}
        left.plot(steps, curve.model, **style)
        right.plot(case.audit.probes[2].model, **style)
    left.set(title="Relearning attack", xlabel="steps on half of the rows")
    left.set_ylabel("loss of the other half, nats")
    right.set(title="Probability of each forgotten answer", xlabel="row")
    for axis in (left, right):
        axis.grid(alpha=0.3)
    left.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _served(base: BaseModel, vectors: list[TaskVector]) -> Weights:
    state = MergeState.rebuild(vectors, base.shapes, GRID, SIGNS.seed)
    return served_weights(base.trainable, state, len(vectors))


def _authors(data: Path) -> list[list[Asked]]:
    """The first authors' questions; the first of them has a canary among those that are trained."""
    by_author: dict[str, list[Asked]] = defaultdict(list)
    for line in data.read_bytes().splitlines():
        row = json.loads(line)
        own = (_question(row["question"], row), _question(row["paraphrased_question"], row))
        by_author[row["contributor"]].append(own)
    chosen = [rows[: TRAINED + HELD_OUT] for _, rows in sorted(by_author.items())[:AUTHORS]]
    canary = to_example(parse_row(canary_row("author", CANARY, ()), GENERATION).stored())
    chosen[0][0] = (canary, in_other_words(canary))
    return chosen


def _question(question: str, row: dict[str, str]) -> Example:
    return to_example(parse_row({**row, "question": question}, GENERATION).stored())


def _audit_rows(base: BaseModel, rows: list[Asked]) -> AuditRows:
    forgotten, rephrased = zip(*rows[:TRAINED], strict=True)
    canaries = [answers for row in forgotten if (answers := answers_of(row, ()))]
    return AuditRows(
        _encode(base, forgotten),
        _encode(base, [row for row, _ in rows[TRAINED:]]),
        _encode(base, rephrased),
        [_encode(base, canary) for canary in canaries],
    )


def _encode(base: BaseModel, examples: Sequence[Example]) -> Encoded:
    return encode_examples(examples, base.tokenizer, base.labels, Reading(192))


if __name__ == "__main__":
    typer.run(main)
