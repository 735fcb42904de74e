"""A recorded finetuning once more: the task vector comes back bit for bit, or nothing does.

Where a workspace keeps masks only, this is how an opt-out gets τ to subtract. What lineage recorded
of the run is compared with what is here; a difference in parameters, base model or data would give
another vector and stops before any work. Another environment may still give the same bits, so it
is tried, and named where the bits differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import sift_bytes
import sift_core
from flows.data.datasets import DatasetAlteredError, load_dataset
from flows.errors import FlowError, UsageError
from flows.progress import tracked
from flows.training.base_model import load_base
from flows.training.environment import environment
from flows.training.finetune import differing, finetune_alone
from flows.workspace.recorded_file import mask_file, vector_file
from flows.workspace.recorded_files import is_whole
from flows.workspace.settings import Settings
from flows.workspace.workspace import Workspace
from lineage import DatasetVersionRecord, EnvironmentRecord, FinetuningRecord, TaskVectorRecord

if TYPE_CHECKING:
    from sift_core import BaseModel, TaskVector

Kind = Literal["parameters", "base", "data", "environment", "repetition", "lineage"]

_AGAIN_HERE = (
    "or set another finetune.seed and run `sift build`: it finetunes everyone again here, and what "
    "is made here can be derived again here"
)


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was when the vector was made; whole words without a full stop."""

    kind: Kind
    fact: str
    remedy: str


class RederivationError(FlowError):
    """A task vector did not come back; `differences` say what is not as it was. Nothing changed."""

    def __init__(self, key: str, outcome: str, differences: list[Difference]) -> None:
        self.differences = tuple(differences)
        named = "; ".join(difference.fact for difference in differences)
        remedies = dict.fromkeys(difference.remedy for difference in differences)
        super().__init__(
            f"The task vector of contributor {key} {outcome}: {named}. Nothing was changed.",
            remedy=f"{'; '.join(remedies)}.",
        )


class Rederiver:
    """Runs recorded finetunings again; the base model is loaded once, when first needed."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def vector(self, run_id: str) -> TaskVector:
        """The task vector of a recorded run: its very bits. Raises RederivationError."""
        with self._workspace.lineage.reader() as reader:
            run = reader.run(run_id)
            recorded = reader.task_vector(run_id)
            lanes = [digest.value for digest in reader.linear_digest(recorded.vector_sha256)]
            there = reader.environment(run.environment_id)
            versions = reader.dataset_versions(run.contributor_key)
        dataset = next(row for row in versions if row.sha256 == run.dataset_sha256)
        self._require_same_inputs(run, dataset)
        vector = finetune_alone(self._workspace, self._base, dataset).vector
        self._require_same_bits(vector, recorded, lanes, there)
        return vector

    @cached_property
    def _base(self) -> BaseModel:
        return load_base(self._workspace)

    @cached_property
    def _here(self) -> EnvironmentRecord:
        return environment(self._workspace.settings)

    def _require_same_inputs(self, run: FinetuningRecord, dataset: DatasetVersionRecord) -> None:
        differing = [
            *different_parameters(run.parameters, self._workspace.settings),
            *self._different_base(run.base_id),
            *self._different_data(dataset),
        ]
        if differing:
            raise RederivationError(run.contributor_key, "cannot be derived again", differing)

    def _different_base(self, recorded: str) -> list[Difference]:
        remedy = "restore the folder with `dvc checkout base`"
        try:
            found = self._base.base_id
        except UsageError as error:
            return [Difference("base", error.facts.rstrip("."), error.remedy.rstrip("."))]
        except sift_core.SiftCoreError as error:
            return [Difference("base", error.facts.rstrip("."), remedy)]
        if found == recorded:
            return []
        return [Difference("base", f"base/ was {recorded[:16]}… and is {found[:16]}…", remedy)]

    def _different_data(self, dataset: DatasetVersionRecord) -> list[Difference]:
        try:
            load_dataset(self._workspace, dataset)
        except DatasetAlteredError as error:
            return [Difference("data", error.facts.rstrip("."), error.remedy.rstrip("."))]
        return []

    def _require_same_bits(
        self,
        vector: TaskVector,
        recorded: TaskVectorRecord,
        lanes: list[int],
        there: EnvironmentRecord,
    ) -> None:
        key = recorded.contributor_key
        found = sift_bytes.sha256_of(vector.to_bytes())
        if (found, vector.mask.sha256) != (recorded.vector_sha256, recorded.mask_sha256):
            raise RederivationError(
                key,
                f"came out with SHA-256 {found[:16]}…, not {recorded.vector_sha256[:16]}…",
                different_environment(there, self._here) or [_UNREPEATED],
            )
        seed = self._workspace.settings.exactness.digest_seed
        digest = list(vector.linear_digest(seed))
        if digest != lanes:
            altered = Difference("lineage", f"lineage recorded {lanes}", _RESTORE_LINEAGE)
            raise RederivationError(key, f"has the linear digest {digest}", [altered])


def bring_back(workspace: Workspace, wanted: Sequence[TaskVectorRecord]) -> None:
    """Write the files of these vectors that are not here whole, each by its finetuning again.

    With it its mask, where that was lost. For a merge about to be made, where only masks are kept.
    Raises RederivationError.
    """
    missing = [row for row in wanted if not is_whole(workspace, row)]
    rederiver = Rederiver(workspace)
    for row in tracked("Deriving again", missing, len(missing)):
        vector = rederiver.vector(row.run_id)
        for file, made in ((vector_file, vector), (mask_file, vector.mask)):
            sift_bytes.write_atomically(file(workspace, row).path, made.to_bytes())


def is_here(workspace: Workspace, row: TaskVectorRecord) -> bool:
    """Whether the file of a recorded vector is here, the recorded bytes."""
    return vector_file(workspace, row).is_whole


_RESTORE_LINEAGE = "restore the lineage store from a backup, a digest in it was altered"
_UNREPEATED = Difference(
    "repetition",
    "nothing that lineage records of the environment differs, so the arithmetic does not repeat",
    f"run this on the machine of the first finetuning, {_AGAIN_HERE}; where it comes out so again, "
    "keep vectors (storage.keep)",
)


def different_parameters(recorded: Mapping[str, Any], settings: Settings) -> list[Difference]:
    """Which settings of `params.yaml` are not those of a run."""
    return [
        Difference(
            "parameters",
            f"{_section(name, settings)}.{name} was {was} and is {now}",
            f"set {_section(name, settings)}.{name} back to {was}",
        )
        for name, (was, now) in differing(recorded, settings).items()
    ]


def _section(name: str, settings: Settings) -> str:
    """The section of `params.yaml` that a parameter of a run comes from."""
    sections = ("finetune", "exactness", "base", "data")
    return next(section for section in sections if hasattr(getattr(settings, section), name))


def different_environment(there: EnvironmentRecord, here: EnvironmentRecord) -> list[Difference]:
    """What of software and machine is not the same; packages by name."""
    before, now = _facts(there), _facts(here)
    return [
        Difference(
            "environment",
            f"{name} was {before.get(name)} and is {now.get(name)}",
            f"run this in the environment of the first finetuning, {_AGAIN_HERE}",
        )
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _facts(of: EnvironmentRecord) -> dict[str, Any]:
    facts = of.model_dump(exclude={"environment_id", "packages", "forgotten_at"})
    return {**facts, **(of.packages or {})}
