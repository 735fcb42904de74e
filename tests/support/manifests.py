"""What a worker gives back, as manifests and files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flows.integrations.staging.staging import RemoteAddress, Staging
from flows.training.workers.checks import Expected, fetch_objects, inspect, read_manifest
from flows.training.workers.machines import Machine
from flows.training.workers.messages import Finished, Task
from flows.training.workers.worker import stored
from sift_core import Grid, InspectedVector, Kind, Mask, TaskVector

KEY, RUN, DATA, BASE = "a" * 32, "1" * 64, "2" * 64, "3" * 64


TASK = Task(contributor_key=KEY, run_id=RUN, dataset_sha256=DATA, dataset_bytes=1)


MACHINE = Machine(code_version="1", python="3", platform="p", device="cpu", packages={"torch": "2"})


SHAPES = {"layer.bias": (3,), "layer.weight": (4, 5), "norm": ()}
SIGN_SEED, DIGEST_SEED = 7, 11
MACHINES = {MACHINE.machine_id: MACHINE}
EXPECTED = Expected(Kind(SHAPES, Grid(24), SIGN_SEED), BASE, DIGEST_SEED, MACHINES)


@dataclass
class Given:
    """What a worker gives back for `TASK`."""

    vector: bytes
    mask: bytes
    manifest: dict[str, Any]

    @classmethod
    def honest(cls, own: TaskVector | None = None) -> "Given":
        own = own or vector()
        lanes = own.linear_digest(DIGEST_SEED)
        manifest = Finished(
            contributor_key=KEY,
            run_id=RUN,
            dataset_sha256=DATA,
            base_id=BASE,
            vector=stored(own.to_bytes()),
            mask=stored(own.mask.to_bytes()),
            linear_digest=tuple(map(str, lanes)),
            first_loss=1.0,
            last_loss=0.5,
            machine=MACHINE.machine_id,
        )
        return cls(own.to_bytes(), own.mask.to_bytes(), json.loads(manifest.model_dump_json()))

    def naming_its_files(self) -> "Given":
        """The manifest says what the files are: the lie is in them alone."""
        for name in ("vector", "mask"):
            self.manifest[name] = stored(getattr(self, name)).model_dump()
        return self

    def counted(self, folder: Path) -> InspectedVector:
        """What comes of it. Raises QuarantinedError."""
        staging = Staging(RemoteAddress(url=str(folder / "remote")))
        for name in ("vector", "mask"):
            staging.put(f"x/out/{self.manifest[name]['sha256']}", getattr(self, name))
        text = json.dumps(self.manifest).encode()
        return take_in(staging, text, folder)


def vector(seed: int = 0, shapes: dict[str, Any] = SHAPES, **other: Any) -> TaskVector:
    """A valid task vector with these shapes."""
    draw = np.random.default_rng(seed)
    bits = {name: np.asarray(draw.random(shape) < 0.6) for name, shape in shapes.items()}
    magnitudes = {
        name: draw.uniform(1e-3, 9, int(own.sum())).astype(np.float16) for name, own in bits.items()
    }
    grid = Grid(other.get("grid_bits", 24))
    return TaskVector(Mask(bits, other.get("sign_seed", SIGN_SEED)), magnitudes, grid)


def take_in(staging: Staging, text: bytes, folder: Path) -> InspectedVector:
    """Every check in the order in which a build makes them."""
    manifest = read_manifest(text, TASK, EXPECTED)
    assert isinstance(manifest, Finished)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    files = fetch_objects(staging, "x/out", manifest, EXPECTED, scratch)
    return inspect(files, manifest, EXPECTED)
