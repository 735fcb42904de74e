"""What sign-fixing adds to a training step, and keeping its result to a finetuning."""

import statistics
import time

import torch

from benchmarks.cost.bench import Bench
from benchmarks.cost.stage import SIGN_SEED
from benchmarks.figures import Figure
from sift_core import SignVector
from sift_core.finetuning import SignFix

STEP_LIMIT = 0.05
KEEPING_LIMIT = 0.10


def figures(bench: Bench) -> list[Figure]:
    """Overhead of sign-fixing per step; share of codec, digest and hashing per contributor."""
    return [_sign_fixing(bench), _keeping(bench)]


def _sign_fixing(bench: Bench) -> Figure:
    """Steps with and without, in turn on the same model, so that other load meets both."""
    base, examples = bench.base, bench.contributors[0]
    batch = examples.collate(examples.sequences).to(base.model.device)
    parameters = base.parameters()
    optimizer = torch.optim.Adam(parameters.values(), lr=bench.settings.learning_rate)
    started = time.perf_counter()
    fix = SignFix(parameters, base.trainable, SignVector(SIGN_SEED))
    setting_up = time.perf_counter() - started
    base.model.train()
    seconds: dict[bool, list[float]] = {False: [], True: []}
    projecting = []
    for turn in range(2 * bench.rounds + 1):
        for fixed in (False, True) if turn % 2 else (True, False):
            started = time.perf_counter()
            base.model(**batch).loss.backward()
            optimizer.step()
            if fixed:
                projection = time.perf_counter()
                fix.project()
                projecting.append(time.perf_counter() - projection)
            optimizer.zero_grad()
            if turn:  # the first turn warms up
                seconds[fixed].append(time.perf_counter() - started)
    base.model.eval()
    base.load(base.trainable)
    without, with_fix = (statistics.median(seconds[fixed]) for fixed in (False, True))
    once = setting_up / bench.settings.steps
    return Figure.at_most(
        "Sign-fixing: what it adds to a training step on the CPU",
        (with_fix + once) / without - 1,
        STEP_LIMIT,
        step_seconds={"without": round(without, 4), "with": round(with_fix, 4)},
        projection_seconds=round(statistics.median(projecting), 5),
        setting_up_seconds_per_step=round(once, 5),
        trainable_entries=base.trainable_entries,
        batch=list(batch["input_ids"].shape),
        threads=torch.get_num_threads(),
    )


def _keeping(bench: Bench) -> Figure:
    shares = [kept.keeping / kept.training for kept in bench.kept]
    return Figure.at_most(
        f"Codec, digest and hashing, by the {bench.settings.steps} steps of a contributor",
        statistics.median(shares),
        KEEPING_LIMIT,
        contributors=[
            {
                "rows": kept.rows,
                "training_seconds": round(kept.training, 2),
                "keeping_seconds": round(kept.keeping, 3),
                "written_mb": round((len(kept.mask_bytes) + len(kept.vector_bytes)) / 1e6, 1),
            }
            for kept in bench.kept
        ],
    )
