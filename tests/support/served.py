"""A small workspace as a finished merge leaves it: base, masks, served folder and model card."""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow.pyfunc import PythonModelContext
from safetensors.torch import save_file

from flows.hashing import artifact_name
from flows.integrations.mlflow.card import MEMBERS_FILE, SERVED_FOLDER, MaskRef, ModelCard
from flows.integrations.mlflow.registry import Mlflow
from flows.serving.model import SiftModel
from flows.workspace.identity import contributor_key, create_secret, read_secret
from sift_bytes import sha256_of
from sift_core import (
    Adapter,
    BaseModel,
    FullWeights,
    Grid,
    Kind,
    Mask,
    Parameterization,
    adapter_folder,
    load_base,
    prepare_base,
    weights_sha256,
)
from sift_core.base_folder import folder_sha256
from sift_core.serving import Weights
from sift_core.serving_blocks import hand_over
from tests.support import tiny

MEMBERS = ("Ann Lee", "bob@example.org")
TEXTS = ["the film was very good", "awful dull story", "who lives in the red city ?"]


def mask_path(root: Path, key: str, sha256: str) -> Path:
    """Where a workspace keeps a mask."""
    return root / "masks" / artifact_name(key, sha256, ".safetensors")


@dataclass
class Served:
    """The parts that `Registration.register` takes, and what a test compares its answers with."""

    root: Path
    folder: Path
    card: ModelCard
    masks: dict[str, Mask]

    @property
    def weights(self) -> Path:
        """What is registered: the folder of the unmasked model, and the members' weights."""
        return self.folder.parent

    def mask_path(self, member: str) -> Path:
        reference = self.card.members[self.key(member)]
        return mask_path(self.root, self.key(member), reference.mask_sha256)

    def key(self, member: str) -> str:
        return contributor_key(read_secret(self.root), member)

    def at(self, state_seq: int, state_sha256: str | None = None) -> ModelCard:
        """The card of another merge state."""
        state_sha256 = state_sha256 or f"{state_seq:064x}"
        return self.card.model_copy(update={"state_seq": state_seq, "state_sha256": state_sha256})


def finished_merge(
    root: Path,
    source: Path,
    task: str,
    members: tuple[str, ...],
    parameterization: Parameterization | None = None,
) -> Served:
    """Make the workspace `root` from a tiny model; the merge is a random task vector."""
    labels = tiny.LABELS if task == "classification" else ()
    prepare_base(str(source), root / "base", labels, seed=3, max_length=32)
    base = load_base(root / "base", labels, parameterization or FullWeights())
    random = np.random.default_rng(5)
    served = {
        name: theta + torch.from_numpy(random.normal(0, 0.3, theta.shape)).to(theta.dtype)
        for name, theta in base.trainable.items()
    }
    shared = {
        name: theta + torch.from_numpy(random.normal(0, 0.3, theta.shape)).to(theta.dtype)
        for name, theta in base.trainable.items()
    }
    weights = root / "weights"
    _save(base, served, weights / SERVED_FOLDER)
    (weights / MEMBERS_FILE).parent.mkdir()
    save_file(shared, weights / MEMBERS_FILE)

    secret = create_secret(root)
    (root / "masks").mkdir()
    masks, references = {}, {}
    for member in members:
        bits = {name: random.random(shape) < 0.5 for name, shape in base.shapes.items()}
        masks[member] = Mask(bits, sign_seed=1)
        data = masks[member].to_bytes()
        key = contributor_key(secret, member)
        mask_path(root, key, sha256_of(data)).write_bytes(data)
        references[key] = MaskRef(
            mask_sha256=sha256_of(data),
            mask_md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        )
    card = ModelCard(
        name="films",
        task=task,
        base_id=folder_sha256(root / "base"),
        workspace=str(root),
        state_seq=1,
        state_sha256="a" * 64,
        served_sha256=weights_sha256(served),
        members_sha256=weights_sha256(shared),
        member_mean="counted",
        members=references,
        sign_seed=1,
        grid_bits=24,
        labels=list(labels),
        max_length=32,
        too_long="window",
    )
    return Served(root, root / "weights" / SERVED_FOLDER, card, masks)


def _save(base: BaseModel, served: Weights, folder: Path) -> None:
    """Write a version's folder: of a whole model, or of adapters."""
    if isinstance(base.parameterization, Adapter):
        kind, adapter = Kind(base.shapes, Grid(24), 1), base.parameterization
        folder.mkdir(parents=True)
        with adapter_folder(folder, base.folder, base.labels, adapter, kind) as writer:
            hand_over(kind, served, writer)
        return
    base.load(served)
    base.model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)


def remake_elsewhere(served: Served, root: Path) -> Served:
    """A copy of the workspace under another folder, as another machine would have it."""
    shutil.copytree(served.root, root)
    card = served.card.model_copy(update={"workspace": str(root)})
    return Served(root, root / "weights" / SERVED_FOLDER, card, served.masks)


@contextmanager
def mlflow_settings_kept() -> Iterator[None]:
    """MLflow's own settings are of the process, in variables too: put back what they were."""
    with pytest.MonkeyPatch.context() as kept:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            # Set, then deleted: whatever becomes of it meanwhile, it is put back as it is now.
            kept.setenv(name, "")
            kept.delenv(name)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(None)
            mlflow.set_registry_uri(None)


METRICS = {"accuracy.masked": 0.9, "accuracy.merged": 0.7}


@contextlib.contextmanager
def pointed_at(models: Mlflow) -> Iterator[None]:
    """The two lines a user writes, undone afterwards."""
    with mlflow_settings_kept():
        mlflow.set_tracking_uri(models.tracking_uri)
        mlflow.set_registry_uri(models.tracking_uri)
        yield


def loaded(served: Served) -> SiftModel:
    card = served.root / "card.json"
    served.card.write(card)
    model = SiftModel()
    model.load_context(
        PythonModelContext(
            {
                "served": str(served.folder),
                "card": str(card),
                "members": str(served.weights / MEMBERS_FILE),
            },
            model_config=None,
        )
    )
    return model
