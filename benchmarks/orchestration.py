"""What a build of many small contributors spends beside training: a profile by component.

    python -m benchmarks.orchestration            500 contributors, half a second of training each
    python -m benchmarks.orchestration --quick    the same with a tenth of the training

A real build of a real workspace in a process of its own, as a command does it without a Prefect
server: DuckDB, DVC, git and MLflow. The model is tiny, so that what does not depend on the model
shows.
"""

import importlib
import json
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.stopwatch import Stopwatch
from flows.telemetry import hush
from flows.workspace.prefect_home import keep_prefect_inside

CONTRIBUTORS = 500
TRAINING_SECONDS = 0.5
STEPS = 100
"""Of the tiny model in half a second on a quiet core."""
QUICK_STEPS = 10
OTHER_SECONDS = 0.08
"""Of work on a contributor that is not training, on a quick core."""
ROWS = 10
"""Of each contributor."""
ROOT = Path(__file__).parents[1]
ORCHESTRATION = ("Prefect", "lineage", "opening lineage", "DVC")
LIMIT = 0.10

_WATCHED = {
    "Prefect": (
        "prefect.artifacts:create_progress_artifact",
        "prefect.artifacts:update_progress_artifact",
        "flows.build:_publish",
    ),
    "lineage": ("lineage:LineageStore.reader()", "lineage:LineageStore.writer()"),
    "opening lineage": ("lineage:LineageStore._open",),
    "DVC": (
        "flows.integrations.dvc.recording:Recording.add",
        "flows.integrations.dvc.recording:Recording.commit_stages",
        "flows.integrations.dvc.remote:RemoteStore.push",
    ),
    "git": ("flows.integrations.git:Git.add", "flows.integrations.git:Git.commit"),
    "MLflow": (
        "flows.integrations.mlflow.registration:Registration.register",
        "flows.integrations.mlflow.registration:Registration.set_champion",
    ),
    "model load": ("sift_core:load_base",),
    "hash of base/": ("sift_core:folder_sha256",),
    "training": (
        "transformers:Trainer.training_step",
        "torch.optim:Adam.step",
        "sift_core.finetuning:SignFix.project",
    ),
    "Trainer set-up": (
        "sift_core.finetuning:train",
        "sift_core.finetuning:SignFix.__init__",
        "sift_core:BaseModel.load",
    ),
    "codec, digest, hashes": (
        "sift_core:TaskVector.between",
        "sift_core:TaskVector.to_bytes",
        "sift_core:Mask.to_bytes",
        "sift_core:TaskVector.linear_digest",
        "sift_bytes:sha256_of",
        "flows.training.finetuned:md5_of",
    ),
    "files to disk": ("sift_bytes:write_atomically",),
    "datasets": (
        "flows.training.finetune:load_dataset",
        "flows.models.evaluate:load_dataset",
        "sift_core:encode_examples",
    ),
}
_TASKS = {
    "check_datasets": "datasets",
    "merge": "merge",
    "check_exactness": "verify",
    "score": "evaluate",
}
"""What belongs to which component; other tasks' own lines are `other`, and everything else within
the flow is Prefect's engine."""


@dataclass(frozen=True)
class Profile:
    """One measured build: wall and processor seconds by component of the building thread."""

    contributors: int
    steps: int
    seconds: dict[str, float]
    processor: dict[str, float]
    calls: dict[str, int]
    loads: int
    peak_bytes: int

    @property
    def wall(self) -> float:
        """Seconds of the whole command, imports included."""
        return sum(self.seconds.values())

    @property
    def orchestration(self) -> float:
        """Seconds of Prefect, lineage and DVC, their imports and Prefect's server included."""
        return sum(self.seconds[name] for name in ORCHESTRATION)

    def share(self, seconds: float) -> float:
        """The part that `seconds` have of a build whose training takes half a second each."""
        return seconds / (seconds + self.contributors * TRAINING_SECONDS)


def figures(quick: bool) -> list[Figure]:
    """The figures of a build of 500 contributors; `quick` trains a tenth of half a second each."""
    return figures_of(measure(CONTRIBUTORS, QUICK_STEPS if quick else STEPS))


def figures_of(profile: Profile) -> list[Figure]:
    """The figures of a measured build.

    A share is `measured / (measured + contributors x 0.5 s)`: the measured seconds of the component
    beside half a second of training each, and none of our other work in the denominator.
    """
    rest = profile.wall - profile.seconds["training"]
    build = f"a build of {profile.contributors} contributors at {TRAINING_SECONDS} s of training"
    return [
        Figure.at_most(
            f"orchestration (Prefect, lineage, DVC): share of {build}",
            profile.share(profile.orchestration),
            LIMIT,
            **asdict(profile),
            share_of_this_run=profile.orchestration / profile.wall,
        ),
        Figure.at_most(f"loads of the base model in {build}", profile.loads, 1),
        Figure.shown(f"all that is not training: share of {build}", profile.share(rest)),
    ]


def measure(contributors: int, steps: int) -> Profile:
    """Profile one build in a process of its own: Prefect reads its settings once in a process."""
    with tempfile.TemporaryDirectory(prefix="sift-bench-") as scratch:
        answer = Path(scratch) / "profile.json"
        make_workspace(Path(scratch) / "workspace", contributors, steps)
        command = [sys.executable, "-m", "benchmarks.orchestration", "--inside", scratch]
        command += ["--contributors", str(contributors), "--steps", str(steps)]
        subprocess.run(command, check=True, cwd=ROOT, stdout=sys.stderr)  # noqa: S603  our own
        return Profile(**json.loads(answer.read_bytes()))


def profile_build(root: Path, contributors: int, steps: int) -> Profile:
    """Build the workspace at `root` in this process, and say where the time went."""
    hush()
    keep_prefect_inside(root)
    watch = Stopwatch()
    _import(watch)
    with watch.watching(_WATCHED), watch.watching(_task_bodies()), _at_the_pace_of(steps):
        from flows.build import build
        from flows.workspace.here import working_on
        from flows.workspace.workspace import Workspace

        with watch.on("Prefect"), working_on(Workspace.open(root)):
            build()
    components = sorted(watch.seconds, key=lambda name: -watch.seconds[name])
    return Profile(
        contributors=contributors,
        steps=steps,
        seconds={name: round(watch.seconds[name], 3) for name in components},
        processor={name: round(watch.processor[name], 3) for name in components},
        calls={name: watch.calls[name] for name in components},
        loads=watch.calls["model load"],
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _import(watch: Stopwatch) -> None:
    """Import what a build imports; what is Prefect's, DuckDB's and DVC's share counts as theirs."""
    for component, modules in {
        "imports": ("torch", "transformers", "sift_core"),
        "Prefect": ("prefect", "prefect.artifacts"),
        "lineage": ("lineage",),
        "DVC": ("flows.integrations.dvc.repository",),
        "MLflow": ("flows.integrations.mlflow.registry",),
        "other": ("flows.build",),
    }.items():
        with watch.on(component):
            for module in modules:
                importlib.import_module(module)


def make_workspace(root: Path, contributors: int, steps: int) -> None:
    """Make a workspace of small contributors, nothing built yet."""
    hush()
    from flows.training.intake import add_contributors
    from flows.workspace.workspace import Workspace
    from tests.support import tiny

    source = tiny.tiny_classifier(root.parent / "base")
    changes: dict[str, dict[str, Any]] = {
        "model": {"name": "small"},
        "base": {"source": str(source), "labels": list(tiny.LABELS), "max_length": 32},
        "finetune": {"learning_rate": 0.01, "steps": steps, "threads": 1},
    }
    workspace = Workspace.create(root, changes)
    rows = root.parent / "rows.jsonl"
    with rows.open("w", encoding="utf-8") as file:
        for contributor in range(contributors):
            for number in range(ROWS):
                word = tiny.WORDS[(7 * contributor + number) % len(tiny.WORDS)]
                row = {
                    "contributor": f"contributor {contributor}",
                    "text": f"{word} was {number} and {contributor}",
                    "label": tiny.LABELS[(contributor + number * number) % len(tiny.LABELS)],
                }
                file.write(json.dumps(row) + "\n")
    add_contributors(workspace, [rows])


def _task_bodies() -> dict[str, list[str]]:
    """The function within each of the flow's tasks, by component."""
    import flows.build
    from flows.ui.tasks import SiftTask

    bodies: dict[str, list[str]] = defaultdict(list)
    for name, value in vars(flows.build).items():
        if isinstance(value, SiftTask):
            bodies[_TASKS.get(name, "other")].append(f"flows.build:{name}.fn")
    return bodies


@contextmanager
def _at_the_pace_of(steps: int) -> Iterator[None]:
    """Record and report as often per contributor as a build that trains half a second each.

    Both go by the clock, so a quicker training would have fewer transactions and requests; other
    work is as slow as ever.
    """
    from flows.ui import artifacts
    from flows.workspace import recording

    training = TRAINING_SECONDS * steps / STEPS
    pace = (training + OTHER_SECONDS) / (TRAINING_SECONDS + OTHER_SECONDS)
    with (
        patch.object(recording, "SECONDS", recording.SECONDS * pace),
        patch.object(artifacts, "PROGRESS_SECONDS", artifacts.PROGRESS_SECONDS * pace),
    ):
        yield


def table(profile: Profile) -> Table:
    """The profile for people: one component a line, the slowest first."""
    shown = Table(
        title=f"{profile.contributors} contributors, {profile.steps} steps each: "
        f"{profile.wall:.1f} s, {profile.peak_bytes / 2**20:.0f} MiB at most"
    )
    shown.add_column("component")
    for column in ("calls", "seconds", "processor", "ms a contributor", "of the run"):
        shown.add_column(column, justify="right")
    for name, seconds in profile.seconds.items():
        shown.add_row(
            name,
            str(profile.calls[name]),
            f"{seconds:.2f}",
            f"{profile.processor[name]:.2f}",
            f"{1000 * seconds / profile.contributors:.1f}",
            f"{100 * seconds / profile.wall:.1f} %",
        )
    return shown


def main(
    quick: Annotated[bool, typer.Option(help="A tenth of the training.")] = False,
    contributors: Annotated[int, typer.Option(min=1)] = CONTRIBUTORS,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of each finetuning.")] = None,
    inside: Annotated[
        Path | None, typer.Option(help="Only profile the workspace in this folder.")
    ] = None,
) -> None:
    """Profile a build of many small contributors."""
    steps = steps or (QUICK_STEPS if quick else STEPS)
    if inside is not None:
        profile = profile_build(inside / "workspace", contributors, steps)
        (inside / "profile.json").write_text(json.dumps(asdict(profile)), encoding="utf-8")
        return
    profile = measure(contributors, steps)
    console = Console()
    console.print(table(profile))
    for figure in figures_of(profile):
        verdict = "met" if figure.met else "NOT met"
        target = "" if figure.target == "none" else f" (target {figure.target}: {verdict})"
        console.print(f"{figure.figure}: {figure.value:.3f}{target}")


if __name__ == "__main__":
    typer.run(main)
