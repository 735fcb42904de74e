"""Bits that must never change: a workspace of today is read by every later version.

`pytest --update-goldens` rewrites them. A golden that changes means that workspaces in the field
no longer verify: it needs a new format version and a line in the changelog, never just a rewrite.
"""

from collections.abc import Callable

import numpy as np
from safetensors.torch import load_file

from sift_core import (
    Mask,
    MergeState,
    SignVector,
    TaskVector,
    linear_digest,
    masked_weights,
    served_weights,
    sha256_of,
    weights_sha256,
)
from sift_core.counter import words
from tests.sift_core.builders import GRID, SEED, SHAPES
from tests.sift_core.conftest import GOLDENS

GoldenJson = Callable[[str, object], None]
GoldenBytes = Callable[[str, bytes], None]


def contributors() -> list[TaskVector]:
    """Three task vectors by plain arithmetic, so that no library's random stream is in them."""
    vectors = []
    for number in range(3):
        bits, magnitudes = {}, {}
        for name, shape in SHAPES.items():
            count = int(np.prod(shape))
            chosen = (np.arange(count) * 7 + number) % 3 != 0
            halves = 1 + (np.arange(count) * 2654435761 + number * 40503) % 0x7BFF
            bits[name] = chosen.reshape(shape)
            magnitudes[name] = halves[chosen].astype(np.uint16).view(np.float16)
        vectors.append(TaskVector(Mask(bits, SEED), magnitudes, GRID))
    return vectors


def state() -> MergeState:
    return MergeState.rebuild(contributors(), SHAPES, GRID, SEED)


def test_counter_words(golden_json: GoldenJson) -> None:
    found = {
        f"{purpose}/{seed}/{name}/{start}": [
            f"{word:016x}" for word in words(purpose, seed, name, start, 5)
        ]
        for purpose in ("sign", "digest")
        for seed in (0, 2**63 - 1)
        for name in ("bert.encoder.layer.5.output.dense.weight", "größe")
        for start in (0, 6, 2**40 + 1)
    }
    golden_json("counter", found)


def test_sign_bits(golden_json: GoldenJson) -> None:
    found = {
        f"{seed}/{name}": np.packbits(SignVector(seed).positive(name, shape)).tobytes().hex()
        for seed in (0, SEED)
        for name, shape in SHAPES.items()
    }
    golden_json("signs", found)


def test_digest_lanes(golden_json: GoldenJson) -> None:
    lanes = {
        f"contributor {n}": linear_digest(v.integers(), 0) for n, v in enumerate(contributors())
    }
    lanes["merge"] = linear_digest(state().sums.items(), 0)
    golden_json("digest", {who: [str(lane) for lane in found] for who, found in lanes.items()})


def test_file_bytes(golden_json: GoldenJson, golden_bytes: GoldenBytes) -> None:
    files = {"merge": state().to_bytes()}
    for number, vector in enumerate(contributors()):
        files[f"mask-{number}"] = vector.mask.to_bytes()
        files[f"vector-{number}"] = vector.to_bytes()
    golden_json("files", {name: sha256_of(data) for name, data in files.items()})
    for name in ("mask-0", "vector-0", "merge"):
        golden_bytes(f"{name}.safetensors", files[name])


def test_yesterdays_files_are_read_today() -> None:
    """Reads what is committed, not what `contributors()` makes today."""
    mask = Mask.from_bytes((GOLDENS / "mask-0.safetensors").read_bytes())
    vector = TaskVector.from_bytes((GOLDENS / "vector-0.safetensors").read_bytes(), mask)
    merge = MergeState.from_bytes((GOLDENS / "merge.safetensors").read_bytes())
    rest = MergeState.rebuild(contributors()[1:], SHAPES, GRID, SEED)
    assert merge.subtract(vector).to_bytes() == rest.to_bytes()


def test_served_weights(golden_json: GoldenJson) -> None:
    base = load_file(GOLDENS / "base.safetensors")
    served = served_weights(base, state(), 3)
    rest = MergeState.rebuild(contributors()[1:], SHAPES, GRID, SEED)
    found = {
        "base": weights_sha256(base),
        "served to anyone": weights_sha256(served),
        "served to contributor 0": weights_sha256(
            masked_weights(base, served, contributors()[0].mask)
        ),
        "served after contributor 0 left": weights_sha256(served_weights(base, rest, 2)),
    }
    golden_json("served", found)
