"""Bits that must never change: a workspace of today is read by every later version.

`pytest --update-goldens` rewrites them. A golden that changes means that workspaces in the field
no longer verify: it needs a new format version and a line in the changelog, never just a rewrite.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from sift_bytes import file_sha256, sha256_of
from sift_core import (
    Kind,
    Mask,
    MergeState,
    SignVector,
    StoredState,
    StoredVector,
    StoredWeights,
    TaskVector,
    masked_weights,
    members_weights,
    model_folder,
    serve,
    served_weights,
    update_state,
    weights_sha256,
)
from sift_core.digest import as_integers, digest_of
from sift_core.philox import words
from tests.sift_core.conftest import GOLDENS
from tests.support.builders import GRID, SEED, SHAPES
from tests.support.golden_state import GoldenJson, contributors, state

GoldenBytes = Callable[[str, bytes], None]


def test_counter_words(golden_json: GoldenJson) -> None:
    found = {
        f"{purpose}/{seed}/{name}/{start}": [
            f"{word:016x}" for word in words(purpose, seed, name, start, 5)
        ]
        for purpose in ("sign", "adapter")
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
    lanes = {f"contributor {n}": v.linear_digest(0) for n, v in enumerate(contributors())}
    lanes["merge"] = state().linear_digest(0)
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
            masked_weights(base, members_weights(base, state()), contributors()[0].mask)
        ),
        "served to contributor 0 by the paper": weights_sha256(
            masked_weights(base, served, contributors()[0].mask)
        ),
        "members' weights": weights_sha256(members_weights(base, state())),
        "served after contributor 0 left": weights_sha256(served_weights(base, rest, 2)),
    }
    golden_json("served", found)


def test_signs_and_digests_far_into_a_parameter(golden_json: GoldenJson) -> None:
    """Where blocks begin, and where 32 bits end."""
    rows = np.array([[1, -2, 3], [2**62, -(2**62), 0]]).view(np.uint64)
    found: dict[str, object] = {}
    for start in (1 << 18, 3 << 18, 1 << 33):
        bits = SignVector(SEED).between("layer.0.weight", start, start + 130)
        lanes = [digest_of("layer.0.weight", start, row, 0) for row in rows]
        found[str(start)] = {
            "signs": np.packbits(bits).tobytes().hex(),
            "digests": [[str(lane) for lane in as_integers(row)] for row in lanes],
        }
    golden_json("far", found)


def test_files_of_nothing_and_of_everything(golden_json: GoldenJson) -> None:
    found = {"no members": sha256_of(MergeState.zero(SHAPES, GRID, SEED).to_bytes())}
    for what, moved in (("untouched", False), ("moved everywhere", True)):
        bits = {name: np.full(shape, moved) for name, shape in SHAPES.items()}
        magnitudes = {
            name: np.full(np.count_nonzero(chosen), 65504, np.float16)
            for name, chosen in bits.items()
        }
        one = TaskVector(Mask(bits, SEED), magnitudes, GRID)
        found[f"{what}: mask"] = sha256_of(one.mask.to_bytes())
        found[f"{what}: vector"] = sha256_of(one.to_bytes())
        found[f"{what}: merge"] = sha256_of(MergeState.zero(SHAPES, GRID, SEED).add(one).to_bytes())
    golden_json("extremes", found)


def test_an_opt_out_on_yesterdays_files(golden_json: GoldenJson, tmp_path: Path) -> None:
    """Reads what is committed; what it writes is pinned, too."""
    files = {name: GOLDENS / f"{name}.safetensors" for name in ("mask-0", "vector-0", "merge")}
    digests = {name: file_sha256(path) for name, path in files.items()}
    leaving = StoredVector(
        files["vector-0"], files["mask-0"], digests["vector-0"], digests["mask-0"]
    )
    kind = Kind(SHAPES, GRID, SEED)
    before = StoredState(files["merge"], digests["merge"], 3)
    base = StoredWeights(GOLDENS / "base.safetensors")
    written = update_state(kind, before, [], [leaving], 0, tmp_path)
    state = StoredState(written.path, written.sha256, written.members)
    with model_folder(tmp_path / "served", base, kind) as writer:
        serve(kind, state, base, {"all": writer})
    found = {
        "state": written.sha256,
        "digest": [str(lane) for lane in written.digest],
        "served weights": writer.sha256,
        "served file": file_sha256(tmp_path / "served" / "base.safetensors"),
    }
    golden_json("opt-out", found)
    assert written.path.read_bytes() == (
        MergeState.rebuild(contributors()[1:], SHAPES, GRID, SEED).to_bytes()
    )
