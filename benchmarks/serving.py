"""What serving many contributors costs beside serving one: time, memory, and a switch between two.

    python -m benchmarks.serving            SmolLM2, ten minutes on two cores
    python -m benchmarks.serving --docs     the written figures into docs/how-to/serving.md

Adapters of rank 32 at every linear layer of SmolLM2 with drawn entries, since cost does not depend
on values; a thousand members, of whose masks 16 are distinct and the others hard links to them.
What is compared is taken in turn in one process, and a figure is the median of the ratios.
"""

import hashlib
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from safetensors.torch import save_file

from benchmarks.assets import MODELS
from benchmarks.documents import put_between
from benchmarks.figures import Figure, read_figures, write_figures
from benchmarks.memory import watched
from flows.hashing import artifact_name
from flows.integrations.mlflow.card import MEMBERS_FILE, SERVED_FOLDER, MaskRef, ModelCard
from flows.serving.members import size_of
from flows.serving.model import SiftModel
from flows.serving.version import Addressee, LoadedVersion
from flows.telemetry import hush
from flows.workspace.identity import contributor_key, create_secret, read_secret
from sift_bytes import sha256_of
from sift_core import (
    Adapter,
    Grid,
    Kind,
    Mask,
    adapter_folder,
    folder_sha256,
    load_base,
    prepare_base,
    weights_sha256,
)
from sift_core.checkpoint import load_model
from sift_core.serving import Weights
from sift_core.serving_blocks import hand_over

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".bench"
RESULTS = ROOT / "benchmarks" / "results" / "serving.json"
DOCUMENT = ROOT / "docs" / "how-to" / "serving.md"
NAME = "serving: python -m benchmarks.serving --docs"

RANK, MEMBERS, DISTINCT = 32, 1000, 16
ROWS, TOKENS, REPEATS = 32, 32, 3
NEW_TOKENS = 4
KEPT = 256 << 20
"""Bytes of members' weights that are kept while a thousand ask."""
PROMPT = "What is your name?"


def name_of(number: int) -> str:
    """A member's id."""
    return f"member {number}"


def make_version(root: Path, base: Path, members: int) -> ModelCard:
    """A workspace with masks, and a version of adapters; what they hold is drawn."""
    adapter = Adapter(RANK, 2 * RANK, ("all-linear",), 1)
    shapes = load_base(base, (), adapter).shapes
    kind, random = Kind(shapes, Grid(24), 1), torch.Generator().manual_seed(7)
    anyones, members_own = (_drawn(shapes, random) for _ in range(2))
    served = root / "weights" / SERVED_FOLDER
    served.mkdir(parents=True)
    with adapter_folder(served, base, (), adapter, kind) as writer:
        hand_over(kind, anyones, writer)
    (root / "weights" / MEMBERS_FILE).parent.mkdir()
    save_file(dict(members_own), root / "weights" / MEMBERS_FILE)
    create_secret(root)
    card = ModelCard(
        name="serving",
        task="generation",
        base_id=folder_sha256(base),
        base_folder=str(base),
        workspace=str(root),
        state_seq=1,
        state_sha256="0" * 64,
        served_sha256=weights_sha256(anyones),
        members_sha256=weights_sha256(members_own),
        member_mean="counted",
        members=_masks(root, shapes, members),
        sign_seed=1,
        grid_bits=24,
        max_length=512,
        too_long="window",
    )
    card.write(root / "card.json")
    return card


def _drawn(shapes: Mapping[str, tuple[int, ...]], random: torch.Generator) -> Weights:
    return {name: torch.randn(shape, generator=random) * 0.01 for name, shape in shapes.items()}


def _masks(root: Path, shapes: Mapping[str, tuple[int, ...]], members: int) -> dict[str, MaskRef]:
    (root / "masks").mkdir()
    random, secret = np.random.default_rng(7), read_secret(root)
    made: list[tuple[Path, MaskRef]] = []
    found = {}
    for number in range(members):
        key = contributor_key(secret, name_of(number))
        if number < DISTINCT:
            bits = {name: random.random(shape) < 0.5 for name, shape in shapes.items()}
            data = Mask(bits, 1).to_bytes()
            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
            reference = MaskRef(mask_sha256=sha256_of(data), mask_md5=md5)
            path = root / "masks" / artifact_name(key, reference.mask_sha256, ".safetensors")
            path.write_bytes(data)
            made.append((path, reference))
        else:
            first, reference = made[number % len(made)]
            name = artifact_name(key, reference.mask_sha256, ".safetensors")
            os.link(first, root / "masks" / name)
        found[key] = reference
    return found


def loaded(root: Path, card: ModelCard, most: int) -> SiftModel:
    """The version, keeping so many bytes of members' weights."""
    model = SiftModel()
    model.load(root / "weights" / SERVED_FOLDER, card, root / "weights" / MEMBERS_FILE)
    file = root / "weights" / MEMBERS_FILE
    model.version = LoadedVersion(card, model.version.model, file, most)
    return model


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ratios(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, list[float]]:
    """The median of one's time by the other's, in turn; and the median seconds of each."""
    one(), other()
    pairs = [(seconds(one), seconds(other)) for _ in range(REPEATS)]
    ones, others = zip(*pairs, strict=True)
    ratio = statistics.median(a / b for a, b in pairs)
    return ratio, [round(statistics.median(ones), 3), round(statistics.median(others), 3)]


def batch_figures(model: SiftModel, base: Any) -> list[Figure]:
    """A batch in which every row is another's, by the same batch of the base model."""
    addressees = model.version.addressees([name_of(number) for number in range(ROWS)])
    ids = torch.randint(100, 40_000, (ROWS, TOKENS), generator=torch.Generator().manual_seed(7))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def ask(whom: list[Addressee]) -> torch.Tensor:
        with model.version.asking(whom) as asked, torch.inference_mode():
            return asked.logits(batch, range(ROWS))

    def plain() -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = base(**batch).logits
        return logits

    mixed, took = ratios(lambda: ask(addressees), plain)
    one, took_one = ratios(lambda: ask(addressees[:1] * ROWS), plain)
    together = ask(addressees)
    same = sum(torch.equal(together[row], ask([addressees[row]] * ROWS)[row]) for row in range(4))
    return [
        Figure.at_most(
            f"{ROWS} rows of {ROWS} contributors in one batch: time, by the base model's",
            round(mixed, 3),
            1.5,
            tokens=TOKENS,
            seconds=took,
        ),
        Figure.shown(
            f"{ROWS} rows of one contributor: time, by the base model's",
            round(one, 3),
            seconds=took_one,
        ),
        Figure.at_least(
            "Of 4 rows of the mixed batch: logits that are, to the bit, the adapter's alone",
            same,
            4,
        ),
    ]


def completion_figures(model: SiftModel, base: Any) -> list[Figure]:
    """Completions, which are written one by one, by the base model's own."""
    rows = pd.DataFrame(
        {"text": [PROMPT] * ROWS, "contributor": [name_of(number) for number in range(ROWS)]}
    )
    given = model.tokenizer(PROMPT, return_tensors="pt")

    def ask() -> None:
        model.predict(None, rows, {"max_new_tokens": NEW_TOKENS})

    def plain() -> None:
        with torch.inference_mode():
            for _ in range(ROWS):
                base.generate(
                    **given,
                    max_new_tokens=NEW_TOKENS,
                    do_sample=False,
                    pad_token_id=model.tokenizer.pad_token_id,
                )

    ratio, took = ratios(ask, plain)
    return [
        Figure.at_most(
            f"{ROWS} completions for {ROWS} contributors: time, by the base model's",
            round(ratio, 3),
            1.5,
            new_tokens=NEW_TOKENS,
            seconds=took,
        )
    ]


def switch_figures(model: SiftModel) -> list[Figure]:
    """From one contributor to another who is not in memory, and to one who is."""
    keys = model.version.addressees([name_of(number) for number in range(60)])

    def switch(key: Addressee) -> tuple[float, float]:
        wall, processor = time.perf_counter(), time.thread_time()
        with model.version.asking([key]):
            pass
        return (time.perf_counter() - wall) * 1000, (time.thread_time() - processor) * 1000

    switch(keys[-1])
    wall, processor = zip(*(switch(key) for key in keys[:40]), strict=True)
    again, _ = zip(*(switch(keys[39]) for _ in range(40)), strict=True)
    return [
        Figure.at_most(
            "Switch to a contributor whose adapter is made: ms, median",
            round(statistics.median(wall), 1),
            50,
            fastest=round(min(wall), 1),
            slowest=round(max(wall), 1),
        ),
        Figure.shown(
            "The same: ms of the processor",
            round(statistics.median(processor), 1),
            fastest=round(min(processor), 1),
        ),
        Figure.shown(
            "Switch to a contributor whose adapter is kept: ms, median",
            round(statistics.median(again), 2),
        ),
    ]


def memory_figures(model: SiftModel) -> list[Figure]:
    """A thousand contributors in random order: memory beside that of one, asked as often."""
    order = np.random.default_rng(7).permutation(MEMBERS)
    members = model.version.members

    def ask(names: list[str]) -> None:
        rows = pd.DataFrame({"text": [PROMPT] * len(names), "contributor": names})
        model.predict(None, rows, {"max_new_tokens": 1})

    ask([name_of(0)])
    one = watched("serving", "one", lambda: ask([name_of(0)] * (MEMBERS // 20)))
    many = watched("serving", "many", lambda: ask([name_of(number) for number in order]))
    more = many.anonymous - one.anonymous
    detail = {"one": one.anonymous, "many": many.anonymous, "resident": many.resident}
    return [
        Figure.at_most(
            f"{MEMBERS} contributors in random order: peak memory beyond that of one, by the "
            "bytes that may be kept",
            round(more / KEPT, 3),
            1.2,
            kept=members.bytes_kept,
            seconds=[one.seconds, many.seconds],
            **detail,
        ),
        Figure.shown(
            "The same: time of an answer, by that of the one contributor's",
            round(many.seconds / MEMBERS / (one.seconds / (MEMBERS // 20)), 2),
        ),
    ]


def measure(folder: Path) -> list[Figure]:
    """All figures, on SmolLM2."""
    torch.set_num_threads(1)
    base = CACHE / "serving" / "base"
    if not base.is_dir():
        prepare_base(str(MODELS["smollm2"](CACHE)), base, (), 0, 512)
    card = make_version(folder, base, MEMBERS)
    model, plain = loaded(folder, card, KEPT), load_model(base, generates=True).eval()
    figures = switch_figures(model) + memory_figures(model) + completion_figures(model, plain)
    one = size_of(model.version.members.weights(next(iter(card.members))))
    roomy = loaded(folder, card, ROWS * one)
    return batch_figures(roomy, plain) + figures


def table(figures: list[Figure]) -> str:
    """What the document shows."""
    lines = ["| figure | value | target | met |", "| --- | ---: | ---: | --- |"]
    for one in figures:
        aimed = one.target != "none"
        met = ("yes" if one.met else "no") if aimed else ""
        lines.append(f"| {one.figure} | {one.value:g} | {one.target if aimed else ''} | {met} |")
    return "\n".join(lines)


def main(
    docs: Annotated[bool, typer.Option(help="Only put the written figures into the docs.")] = False,
) -> None:
    """Measure what serving many contributors costs."""
    from tempfile import TemporaryDirectory

    hush()
    if not docs:
        CACHE.mkdir(exist_ok=True)
        with TemporaryDirectory(dir=CACHE) as scratch:
            write_figures(RESULTS, measure(Path(scratch)))
    figures = read_figures(RESULTS)
    print(table(figures))
    put_between(DOCUMENT, NAME, table(figures))


if __name__ == "__main__":
    typer.run(main)
