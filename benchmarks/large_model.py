"""What an opt-out takes of memory where the model is large: peak by step, and the bound.

    python -m benchmarks.large_model FOLDER        a Llama of a billion parameters: half an hour
    python -m benchmarks.large_model FOLDER --layers 2 --hidden 512

A workspace in FOLDER with random bfloat16 weights in shards, and contributors whose task vectors
are drawn, not trained: a finetuning's memory is another matter, and an opt-out does none. All else
is what `sift build` and `sift opt-out run` do, each step in a process of its own. The bound is that
of issue 5: four times the largest tensor and 1 GB.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import sift_bytes
import sift_core
from benchmarks.documents import put_between
from benchmarks.memory import Peak, watched
from flows.erasure.approvals import approve
from flows.erasure.filing import receive
from flows.erasure.request import Request
from flows.erasure.steps import STEPS
from flows.models.merge import merge_members
from flows.models.record import commit
from flows.models.register import promote, register
from flows.telemetry import hush
from flows.training.base_model import base_record, ensure_base, scoring_base
from flows.training.environment import environment
from flows.training.finetune import Job, jobs, parameters
from flows.training.intake import add_contributors
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from lineage import FinetuningRecord, LinearDigestRecord, TaskVectorRecord
from sift_bytes import md5_of
from sift_core import Grid, SignVector
from sift_core.weights_folder import LazyWeights, StoredWeights

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "large_model.json"
DOCUMENT = ROOT / "docs/how-to/large-models.md"
VOCABULARY = 32_000
WORDS = "what colour is the of red blue green house car tree ann bob ?"
CONTRIBUTORS = ("ann", "bob")
DENSITY, LARGEST_MOVE = 0.5, 2e-3
SECONDS = 3600
"""Of one stage at most, on a machine that others use too."""

Steps = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Result:
    """A run: what it ran on and each step's peak."""

    parameters: int
    trained: int
    largest_tensor: int
    """Bytes, of the base model as it is stored."""
    peaks: list[Peak]

    @property
    def bound(self) -> int:
        """Bytes that an opt-out may have resident."""
        return 4 * self.largest_tensor + 10**9


def make_source(folder: Path, layers: int, hidden: int) -> None:
    """A Llama with random bfloat16 weights, in shards, and a tokenizer of words."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=max(1, hidden // 256),
        intermediate_size=4 * hidden,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="500MB")
    _tokenizer().save_pretrained(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    words = ["[UNK]", "<s>", "</s>", *WORDS.split()]
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    marks = dict(zip(("unk_token", "bos_token", "eos_token"), words, strict=False))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)


def make_workspace(folder: Path, source: Path, layers: int) -> Workspace:
    """A workspace whose upper quarter of layers trains, and contributors with a few rows each."""
    first = layers - max(1, layers // 4)
    upper = [f"model.layers.{number}.*" for number in range(first, layers)]
    workspace = Workspace.create(
        folder,
        {
            "model": {"name": "large"},
            "base": {
                "source": str(source),
                "max_length": 32,
                "dtype": "bfloat16",
                "shard_size": "500MB",
                "streamed": True,
            },
            "finetune": {"train_only": upper},
            "removal_audit": {"relearning_steps": 0},
        },
    )
    rows = [
        {
            "contributor": who,
            "question": f"what colour is the {thing} of {who} ?",
            "answer": colour,
        }
        for who in CONTRIBUTORS
        for thing, colour in zip(("house", "car", "tree"), ("red", "blue", "green"), strict=True)
    ]
    path = folder.parent / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    add_contributors(workspace, [path])
    return workspace


def draw_vectors(workspace: Workspace) -> None:
    """Write and record a task vector for every contributor, as a finetuning would have."""
    base, here = scoring_base(workspace), environment(workspace.settings)
    with workspace.lineage.writer() as recorder:
        recorder.add_all([base_record(workspace, base), here])
    for number, job in enumerate(jobs(workspace)):
        _draw(workspace, base, job, number, here.environment_id)


def _draw(
    workspace: Workspace, base: sift_core.BaseModel, job: Job, number: int, environment_id: str
) -> None:
    settings, key, started = workspace.settings, job.dataset.contributor_key, datetime.now(UTC)
    signs = SignVector(settings.exactness.sign_seed)

    def moved(name: str) -> torch.Tensor:
        """θ0 moved outward by up to LARGEST_MOVE in about half of the entries."""
        start = base.trainable[name].float()
        generator = torch.Generator().manual_seed(sum(name.encode()) + 1000 * number)
        by = torch.rand(start.shape, generator=generator).sub_(1 - DENSITY).clamp_(min=0)
        positive = torch.from_numpy(signs.positive(name, tuple(start.shape)))
        return start + torch.where(positive, by, -by) * LARGEST_MOVE

    finetuned = LazyWeights(base.trainable, moved)
    grid = Grid(settings.exactness.grid_bits)
    vector = sift_core.TaskVector.between(base.trainable, finetuned, signs, grid)
    lanes = vector.linear_digest(settings.exactness.digest_seed)
    mask, data = vector.mask.to_bytes(), vector.to_bytes()
    sha256 = sift_bytes.sha256_of(data)
    sift_bytes.write_atomically(workspace.mask_file(key, vector.mask.sha256), mask)
    sift_bytes.write_atomically(workspace.vector_file(key, sha256), data)
    now = datetime.now(UTC)
    run = FinetuningRecord(
        run_id=job.run_id,
        contributor_key=key,
        dataset_sha256=job.dataset.sha256,
        base_id=base.base_id,
        environment_id=environment_id,
        parameters=parameters(settings),
        seed=settings.finetune.seed,
        steps=settings.finetune.steps,
        first_loss=1.0,
        last_loss=1.0,
        started_at=started,
        finished_at=now,
    )
    stored = TaskVectorRecord(
        run_id=job.run_id,
        contributor_key=key,
        vector_sha256=sha256,
        mask_sha256=vector.mask.sha256,
        vector_md5=md5_of(data),
        mask_md5=md5_of(mask),
        vector_bytes=len(data),
        mask_bytes=len(mask),
        entries=vector.mask.entries,
        nonzero=vector.mask.nonzero,
        created_at=now,
    )
    digest = [
        LinearDigestRecord(subject=sha256, lane=lane, value=value)
        for lane, value in enumerate(lanes)
    ]
    with workspace.lineage.writer() as recorder:
        recorder.add_all([run, stored, *digest])


def _build(workspace: Workspace) -> Steps:
    """The steps of a build after finetuning; the opt-out scores who stays."""
    return {
        "merge": lambda: merge_members(workspace, jobs(workspace)),
        "register": lambda: _register(workspace),
        "DVC, git": lambda: commit(workspace, "Build"),
    }


def _register(workspace: Workspace) -> None:
    """Of a state that nobody was scored with: DVC wants both files all the same."""
    sift_bytes.write_atomically(workspace.root / "metrics.json", b"{}\n")
    sift_bytes.write_atomically(workspace.root / "plots" / "quality.csv", b"percentile\n")
    promote(workspace, register(workspace, current_state(workspace), {}))


def _opt_out(workspace: Workspace) -> Steps:
    """The steps of an opt-out of the first contributor, filed and approved."""
    filed = receive(workspace, CONTRIBUTORS[0], "gdpr-art-17", None, filed_by="the clerk")
    approve(workspace, filed.request_id, "the privacy officer", "identity proven")
    removal = Request(workspace, filed.request_id)
    return {name: partial(step.work, [removal]) for name, step in STEPS.items()}


STAGES = {"build": _build, "opt-out": _opt_out}


def run_stage(stage: str, workspace: Path, answer: Path) -> None:
    """Do one stage in this process and write each step's peak to `answer`."""
    place = Workspace.open(workspace)
    torch.set_num_threads(place.settings.finetune.threads)
    steps, peaks = STAGES[stage](place), []
    with place.lock():
        for step, work in steps.items():
            peaks.append(asdict(watched(stage, step, work)))
            answer.write_text(json.dumps(peaks), encoding="utf-8")  # what is known if it is stopped


def measure(folder: Path, layers: int, hidden: int) -> Result:
    """Make the workspace and go through all stages, each in a process of its own."""
    _call("prepare", folder, "--layers", str(layers), "--hidden", str(hidden))
    for stage in STAGES:
        _call(stage, folder)
    return result_in(folder)


def result_in(folder: Path) -> Result:
    """What the stages wrote there."""
    peaks: list[Peak] = []
    for stage in STAGES:
        answer = json.loads((folder / f"{stage}.json").read_text(encoding="utf-8"))
        peaks += [Peak(**peak) for peak in answer]
    workspace = Workspace.open(folder / "workspace")
    stored = StoredWeights(workspace.base)
    record = current_state(workspace)
    shapes = sift_core.shapes_in(workspace.state_file(record.state_sha256), record.state_sha256)
    return Result(
        parameters=sum(int(np.prod(spot.shape)) for spot in stored.places.values()),
        trained=sum(int(np.prod(shape)) for shape in shapes.values()),
        largest_tensor=max(spot.size for spot in stored.places.values()),
        peaks=peaks,
    )


def _call(stage: str, folder: Path, *more: str) -> None:
    subprocess.run(  # noqa: S603
        [sys.executable, "-m", "benchmarks.large_model", str(folder), "--stage", stage, *more],
        cwd=ROOT,
        check=True,
        timeout=SECONDS,
    )


def table(result: Result) -> str:
    """The result as it stands in the document."""
    lines = [
        f"{result.parameters / 1e6:,.0f} M parameters in bfloat16, {result.trained / 1e6:,.0f} M "
        f"of them trained, {len(CONTRIBUTORS)} contributors. Largest tensor "
        f"{result.largest_tensor / 1e6:,.0f} MB: the bound is {result.bound / 1e6:,.0f} MB.",
        "",
        "| stage | step | peak resident, MB | of it anonymous, MB | seconds |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {peak.stage} | {peak.step} | {peak.resident / 1e6:,.0f} | "
        f"{peak.anonymous / 1e6:,.0f} | {peak.seconds:,.0f} |"
        for peak in result.peaks
    ]
    highest = max(peak.resident for peak in result.peaks if peak.stage == "opt-out")
    verdict = "within" if highest <= result.bound else "beyond"
    lines += ["", f"An opt-out peaks at {highest / 1e6:,.0f} MB resident, {verdict} the bound."]
    return "\n".join(lines)


def require_bound(peaks: Sequence[Peak], bound: int) -> None:
    """Exit 1 where any step of the opt-out was beyond the bound."""
    beyond = [peak for peak in peaks if peak.stage == "opt-out" and peak.resident > bound]
    if beyond:
        raise typer.Exit(1)


def main(
    folder: Annotated[Path, typer.Argument(help="A new folder; 40 GB for the billion.")],
    layers: Annotated[int, typer.Option(min=2)] = 16,
    hidden: Annotated[int, typer.Option(min=256, help="A multiple of 256.")] = 2048,
    stage: Annotated[str | None, typer.Option(help="Only prepare, build, opt-out or show.")] = None,
) -> None:
    """Measure the memory of a build and an opt-out on a large model."""
    hush()
    workspace = folder / "workspace"
    if stage == "prepare":
        make_source(folder / "source", layers, hidden)
        place = make_workspace(workspace, folder / "source", layers)
        ensure_base(place)
        draw_vectors(place)
    elif stage == "show":
        show(result_in(folder))
    elif stage is not None:
        run_stage(stage, workspace, folder / f"{stage}.json")
    else:
        folder.mkdir(parents=True)
        show(measure(folder, layers, hidden))


def show(result: Result) -> None:
    """Print it; that of the billion goes to the results and the document, too."""
    text = table(result)
    print(text)
    if result.parameters > 10**9:
        RESULTS.write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")
        put_between(DOCUMENT, "large model", text)
    require_bound(result.peaks, result.bound)


if __name__ == "__main__":
    typer.run(main)
