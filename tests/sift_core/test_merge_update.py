"""On files, block by block, the same bytes come out as from whole objects in memory."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sift_bytes import sha256_of
from sift_core import (
    Grid,
    Kind,
    Mask,
    MergeState,
    TaskVector,
    rebuilt_sha256,
    shapes_in,
    update_state,
)
from sift_core import blocks as blocks_module
from sift_core.block_reader import StoredState, StoredVector
from sift_core.errors import AlteredError, CodecError, GridOverflowError, MismatchError
from sift_core.fixed_point import LARGEST_INTEGER, LARGEST_SUM
from sift_core.merge_file import Widths, pack
from sift_core.totals import Totals
from tests.support.builders import GRID, SEED, SHAPES, state_of, vector, vectors
from tests.support.on_disk import in_one_folder, stored, stored_file, stored_state

KIND = Kind(SHAPES, GRID, SEED)
DIGEST_SEED = 11
MODULUS = 2**64


def rebuild(members: Sequence[TaskVector]) -> MergeState:
    return MergeState.rebuild(members, SHAPES, GRID, SEED)


def large(number: int) -> TaskVector:
    """A vector of one parameter that is several of the smallest blocks, and a bit."""
    random = np.random.default_rng(number)
    bits = random.random((7, 31)) < 0.5
    magnitudes = random.random(np.count_nonzero(bits)).astype(np.float16) + np.float16(1)
    return TaskVector(Mask({"p": bits}, SEED), {"p": magnitudes}, GRID)


@in_one_folder
@given(vectors(most=8), st.data())
def test_an_update_of_files_is_the_sum_of_objects(
    tmp_path: Path, members: list[TaskVector], data: st.DataObject
) -> None:
    fates = [data.draw(st.sampled_from(["stays", "leaves", "comes"])) for _ in members]
    stay, leave, come = (
        [member for member, its in zip(members, fates, strict=True) if its == fate]
        for fate in ("stays", "leaves", "comes")
    )
    before, after = rebuild(stay + leave), rebuild(stay + come)
    written = update_state(
        KIND,
        stored_state(tmp_path, before, len(stay + leave)),
        [stored(tmp_path, member) for member in come],
        [stored(tmp_path, member) for member in leave],
        DIGEST_SEED,
        tmp_path / "merge",
        [partial(hashlib.md5, usedforsecurity=False)],
    )
    expected = after.to_bytes()
    assert written.path.read_bytes() == expected
    assert (written.sha256, written.size) == (sha256_of(expected), len(expected))
    assert written.path == tmp_path / "merge" / f"{written.sha256}.safetensors"
    assert written.members == len(stay + come)
    (md5,) = written.also
    assert md5 == hashlib.md5(expected, usedforsecurity=False).hexdigest()
    assert written.digest == after.linear_digest(DIGEST_SEED)
    lanes = [before, *come, *leave]
    old, *changes = (one.linear_digest(DIGEST_SEED) for one in lanes)
    joined, left = changes[: len(come)], changes[len(come) :]
    for lane, new in enumerate(written.digest):
        change = sum(one[lane] for one in joined) - sum(one[lane] for one in left)
        assert new == (old[lane] + change) % MODULUS


@in_one_folder
@given(vectors(most=8))
def test_a_rebuild_of_files_is_a_rebuild_of_objects(
    tmp_path: Path, members: list[TaskVector]
) -> None:
    files = [stored(tmp_path, member) for member in members]
    written = update_state(KIND, None, files, [], DIGEST_SEED, tmp_path)
    expected = rebuild(members).to_bytes()
    assert written.path.read_bytes() == expected
    assert rebuilt_sha256(KIND, files) == rebuilt_sha256(KIND, files[::-1]) == sha256_of(expected)


def test_of_no_vectors_it_is_the_empty_sum(tmp_path: Path) -> None:
    written = update_state(KIND, None, [], [], DIGEST_SEED, tmp_path)
    assert written.path.read_bytes() == MergeState.zero(SHAPES, GRID, SEED).to_bytes()
    assert rebuilt_sha256(KIND, []) == written.sha256


@pytest.mark.parametrize("entries", [64, 128, 192, 256])
def test_where_blocks_meet_does_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: int
) -> None:
    monkeypatch.setattr(blocks_module, "_ENTRIES", entries)
    members = [large(number) for number in range(5)]
    kind = Kind(members[0].mask.shapes, GRID, SEED)
    state = MergeState.rebuild(members[:3], kind.shapes, GRID, SEED)
    after = MergeState.rebuild(members[1:], kind.shapes, GRID, SEED)
    written = update_state(
        kind,
        stored_state(tmp_path, state, 3),
        [stored(tmp_path, member) for member in members[3:]],
        [stored(tmp_path, members[0])],
        DIGEST_SEED,
        tmp_path / "merge",
    )
    assert written.path.read_bytes() == after.to_bytes()
    assert written.digest == after.linear_digest(DIGEST_SEED)


def test_the_shapes_of_a_workspace_are_read_from_a_mask_or_a_state(tmp_path: Path) -> None:
    one, state = stored(tmp_path, vector(1)), stored_state(tmp_path, rebuild([vector(1)]), 1)
    assert shapes_in(one.mask, one.mask_sha256) == shapes_in(state.path, state.sha256) == SHAPES
    with pytest.raises(CodecError, match="truncated or altered"):
        shapes_in(one.vector, one.vector_sha256)
    with pytest.raises(AlteredError, match="is missing or empty"):
        shapes_in(tmp_path / "nowhere", one.mask_sha256)


def test_progress_is_seen_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "_ENTRIES", 64)
    seen = []

    def watch(every: list[blocks_module.Block]) -> Iterator[blocks_module.Block]:
        for block in every:
            yield block
            seen.append([piece.name for piece in block.pieces])

    rebuilt_sha256(KIND, [stored(tmp_path, vector(1))], watch)
    assert [name for block in seen for name in block] == sorted(SHAPES)
    assert len(seen) > 1


Damage = Callable[[Path], None]


def flip_first(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def flip_last(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip_first, flip_last, cut, lengthen, empty, Path.unlink])
@pytest.mark.parametrize("which", ["state", "mask", "vector", "mask of another"])
def test_an_altered_file_is_named_and_nothing_is_written(
    tmp_path: Path, damage: Damage, which: str
) -> None:
    before = stored_state(tmp_path, rebuild([vector(1)]), 1)
    leaves, comes = stored(tmp_path, vector(1)), stored(tmp_path, vector(2))
    path = {
        "state": before.path,
        "mask": leaves.mask,
        "vector": leaves.vector,
        "mask of another": comes.mask,
    }[which]
    damage(path)
    with pytest.raises(AlteredError, match=rf"{path.name} (has|is).*recorded.*dvc checkout"):
        update_state(KIND, before, [comes], [leaves], DIGEST_SEED, tmp_path / "merge")
    assert list((tmp_path / "merge").glob("*")) == []


def test_an_altered_sum_that_could_be_one_is_named_rather_than_what_it_leads_to(
    tmp_path: Path,
) -> None:
    kind, _, one = full(0)
    before = stored_state(tmp_path, MergeState.rebuild([one], kind.shapes, GRID, SEED), 1)
    data = bytearray(before.path.read_bytes())
    data[8 + int.from_bytes(data[:8], "little")] ^= 1
    before.path.write_bytes(data)
    with pytest.raises(AlteredError, match=before.path.name):
        update_state(kind, before, [], [stored(tmp_path, one)], 0, tmp_path / "merge")


def test_a_vector_of_another_workspace_is_refused(tmp_path: Path) -> None:
    shapes = {**SHAPES, "layer.0.bias": (8,)}
    for match, kind, stranger in (
        ("grid_bits 25.*24", KIND, vector(1, grid=Grid(25))),
        ("sign_seed", KIND, vector(1, seed=SEED + 1)),
        (r"1 parameters, first 'layer\.0\.bias'", Kind(shapes, GRID, SEED), vector(1)),
        ("6 parameters", KIND, large(1)),
    ):
        with pytest.raises(MismatchError, match=match):
            rebuilt_sha256(kind, [stored(tmp_path, stranger)])


def test_a_vector_with_the_mask_of_another_is_refused(tmp_path: Path) -> None:
    one, other = stored(tmp_path, vector(1)), stored(tmp_path, vector(2))
    mixed = StoredVector(one.vector, other.mask, one.vector_sha256, other.mask_sha256)
    with pytest.raises(MismatchError, match="belongs to another mask"):
        rebuilt_sha256(KIND, [mixed])


def test_a_state_of_another_workspace_is_refused(tmp_path: Path) -> None:
    other = MergeState.zero(SHAPES, Grid(25), SEED)
    with pytest.raises(MismatchError, match="grid_bits"):
        update_state(KIND, stored_state(tmp_path, other, 0), [], [], 0, tmp_path / "merge")


def full(sums: int) -> tuple[Kind, MergeState, TaskVector]:
    """A state of equal sums along the signs, and a vector at the grid's limit."""
    bits = np.ones(130, np.bool_)
    one = TaskVector(Mask({"p": bits}, SEED), {"p": np.full(130, 65504, np.float16)}, GRID)
    (_, integers), *_ = one.integers()
    signs = np.sign(integers)
    return Kind({"p": (130,)}, GRID, SEED), state_of({"p": signs * sums}), one


def test_sums_reach_the_bound_and_not_one_beyond(tmp_path: Path) -> None:
    room = LARGEST_SUM - LARGEST_INTEGER
    kind, state, one = full(room)
    file = stored(tmp_path, one)
    written = update_state(
        kind, stored_state(tmp_path, state, 1), [file], [], 0, tmp_path / "merge"
    )
    assert written.path.read_bytes() == state.add(one).to_bytes()
    kind, state, one = full(room + 1)
    with pytest.raises(GridOverflowError, match="fewer grid bits"):
        update_state(kind, stored_state(tmp_path, state, 1), [file], [], 0, tmp_path / "merge")
    kind, state, one = full(-room - 1)
    with pytest.raises(GridOverflowError):
        update_state(kind, stored_state(tmp_path, state, 1), [], [file], 0, tmp_path / "merge")


def test_more_vectors_than_could_be_added_are_refused_unread() -> None:
    one = StoredVector(Path("a"), Path("b"), "", "")
    with pytest.raises(GridOverflowError, match="at most 4196353"):
        rebuilt_sha256(KIND, [one] * (LARGEST_SUM // LARGEST_INTEGER + 1))


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), LARGEST_SUM + 1, -LARGEST_SUM - 1])
def test_a_state_out_of_range_is_refused(tmp_path: Path, value: int) -> None:
    kind, _, one = full(0)
    (block,) = blocks_module.blocks(kind.shapes)
    widths = Widths(np.dtype("<i8"))
    totals = Totals(np.array([value] * 130), np.ones(130, np.int64))
    data = kind.head_of_state(widths) + pack(block, totals, widths).tobytes()
    before = StoredState(*stored_file(tmp_path, data), 1)
    with pytest.raises(GridOverflowError):
        update_state(kind, before, [], [stored(tmp_path, one)], 0, tmp_path / "merge")
