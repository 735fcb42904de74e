"""The linear digest adds up like the integers it digests, and notices every change."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sift_core import LANES, Mask, MergeState, TaskVector, linear_digest
from sift_core.digest import _CHUNK, _words, as_integers, digest_of
from tests.support import plain_aes
from tests.support.builders import GRID, SEED, SHAPES, vectors

MODULUS = 2**64
DIGEST_SEED = 11

INT64 = st.integers(-(2**63), 2**63 - 1)


def digest(tensors: dict[str, np.ndarray], seed: int = DIGEST_SEED) -> tuple[int, ...]:
    return linear_digest(((name, own.view(np.uint64)) for name, own in tensors.items()), seed)


def naive(tensors: dict[str, list[int]], seed: int) -> tuple[int, ...]:
    """docs/explanation/method.md, word by word, in Python integers."""
    lanes = [0] * LANES
    for name, entries in tensors.items():
        for j, x in enumerate(entries):
            for lane in range(LANES):
                r = (plain_aes.word(seed, name, j) >> 32 * lane) % 2**32 | 1
                lanes[lane] = (lanes[lane] + r * x) % MODULUS
    return tuple(lanes)


@given(st.dictionaries(st.text(max_size=5), st.lists(INT64, max_size=9), max_size=3), INT64)
def test_the_digest_is_the_documented_sum(tensors: dict[str, list[int]], seed: int) -> None:
    arrays = {name: np.array(entries, np.int64) for name, entries in tensors.items()}
    assert digest(arrays, seed) == naive(tensors, seed)


@given(vectors(most=12))
def test_members_add_up_to_the_merge(members: list[TaskVector]) -> None:
    state = MergeState.rebuild(members, SHAPES, GRID, SEED)
    parts = [member.linear_digest(DIGEST_SEED) for member in members]
    total = tuple(sum(lane) % MODULUS for lane in zip(*parts, strict=True))
    assert total == state.linear_digest(DIGEST_SEED)


def test_of_no_members_it_is_zero() -> None:
    assert MergeState.zero(SHAPES, GRID, SEED).linear_digest(DIGEST_SEED) == (0,) * LANES


@given(st.data())
def test_one_changed_entry_changes_every_lane(data: st.DataObject) -> None:
    entries = np.array(data.draw(st.lists(INT64, min_size=1, max_size=30)), np.int64)
    changed = entries.copy()
    position = data.draw(st.integers(0, entries.size - 1))
    changed[position] ^= np.int64(data.draw(INT64.filter(bool)))
    ours, theirs = digest({"p": entries}), digest({"p": changed})
    assert all(one != other for one, other in zip(ours, theirs, strict=True))


PAIRS = st.lists(st.tuples(INT64, INT64), max_size=20)


@given(PAIRS, INT64)
def test_the_digest_is_linear(pairs: list[tuple[int, int]], factor: int) -> None:
    x, y = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    of_x, of_y = digest({"p": x}), digest({"p": y})
    with np.errstate(over="ignore"):
        total, multiple = digest({"p": x + y}), digest({"p": x * np.int64(factor)})
    assert total == tuple((a + b) % MODULUS for a, b in zip(of_x, of_y, strict=True))
    assert multiple == tuple(a * factor % MODULUS for a in of_x)


SUM = st.integers(-(2**40), 2**40)
"""What sums hold in practice. Coefficients are odd and differ by even numbers, so entries that are
2^63 apart, the very edges of what a sum may be, could change places unnoticed."""


@given(
    st.lists(st.tuples(SUM, SUM), max_size=20).filter(lambda pairs: any(x != y for x, y in pairs))
)
def test_two_parameters_of_one_shape_that_are_swapped_are_noticed(
    pairs: list[tuple[int, int]],
) -> None:
    x, y = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    assert digest({"a": x, "b": y}) != digest({"a": y, "b": x})


@given(vectors(most=1), st.integers(0, 2**40).filter(lambda seed: seed != SEED))
def test_a_vector_with_the_signs_of_another_seed_is_noticed(
    drawn: list[TaskVector], seed: int
) -> None:
    (one,) = drawn
    other = TaskVector(Mask(one.mask.bits, seed), one.magnitudes, GRID)
    pairs = zip(one.integers(), other.integers(), strict=True)
    same = all(np.array_equal(ours, theirs) for (_, ours), (_, theirs) in pairs)
    found = one.linear_digest(DIGEST_SEED)
    assert (found == other.linear_digest(DIGEST_SEED)) is same


@given(st.lists(INT64, max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_a_parameter_may_be_digested_in_parts(entries: list[int], cuts: list[int]) -> None:
    whole = np.array(entries, np.int64)
    edges = [0, *sorted(min(cut, whole.size) for cut in cuts), whole.size]
    lanes = np.zeros(LANES, np.uint64)
    for start, stop in pairwise(edges):
        lanes += digest_of("p", start, whole[start:stop].view(np.uint64), DIGEST_SEED)
    assert as_integers(lanes) == digest({"p": whole})


def test_parameters_or_entries_that_change_places_are_noticed() -> None:
    one, other = np.arange(1, 9), np.arange(11, 19)
    assert digest({"a": one, "b": other}) != digest({"a": other, "b": one})
    assert digest({"a": one}) != digest({"b": one})
    assert digest({"a": one}) != digest({"a": one[::-1]})


def test_another_seed_is_another_digest() -> None:
    entries = {"p": np.arange(1, 9)}
    ours, theirs = digest(entries), digest(entries, DIGEST_SEED + 1)
    assert all(one != other for one, other in zip(ours, theirs, strict=True))


def test_order_of_parameters_and_memory_layout_do_not_matter() -> None:
    tensors = {"a": np.arange(12).reshape(3, 4), "b": np.array(7)}
    backwards = {"b": np.array(7), "a": np.asfortranarray(tensors["a"])}
    assert digest(tensors) == digest(backwards)


def test_chunks_meet_without_a_seam() -> None:
    entries = np.random.default_rng(0).integers(-(2**62), 2**62, _CHUNK * 2 + 3)
    first, second = entries.copy(), entries.copy()
    first[_CHUNK - 1 :] = 0
    second[: _CHUNK - 1] = 0
    parts = zip(digest({"p": first}), digest({"p": second}), strict=True)
    assert tuple(sum(lane) % MODULUS for lane in parts) == digest({"p": entries})
    for position in (0, _CHUNK - 1, _CHUNK, 2 * _CHUNK, entries.size - 1):
        alone = np.zeros_like(entries)
        alone[position] = 1
        word = plain_aes.word(DIGEST_SEED, "p", position)
        assert digest({"p": alone}) == (word % 2**32 | 1, word >> 32 | 1)


def test_the_second_opinion_is_aes_as_its_standard_has_it() -> None:
    key, plain = bytes(range(16)), bytes(0x11 * at for at in range(16))
    assert plain_aes.block(plain, key).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"  # §C.1


@given(st.integers(0, 2**40), st.integers(0, 9), st.text(max_size=9))
def test_any_slice_of_the_words_is_that_slice_of_the_whole(
    start: int, count: int, name: str
) -> None:
    expected = [plain_aes.word(DIGEST_SEED, name, start + at) for at in range(count)]
    assert _words(DIGEST_SEED, name, start, count).tolist() == expected


def test_lanes_are_integers_that_fit_an_unsigned_column() -> None:
    lanes = digest({"p": np.full(1000, -1)})
    assert len(lanes) == LANES and len(set(lanes)) == LANES
    assert all(type(lane) is int and 0 <= lane < MODULUS for lane in lanes)
