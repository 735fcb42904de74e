"""The streamed peers give what the rules' definitions give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks import merging_rules as rules
from benchmarks.cost import peers

Vectors = list[NDArray[np.float32]]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_PIECE", 5)


@st.composite
def task_vectors(draw: st.DrawFn) -> Vectors:
    """Small multiples of 1/8, so that float32 sums are exact in any order."""
    size = draw(st.integers(1, 17))
    entry = st.integers(-8, 8).map(lambda n: n / 8)
    vector = st.lists(entry, min_size=size, max_size=size)
    return [np.array(v, np.float32) for v in draw(st.lists(vector, min_size=1, max_size=5))]


@settings(deadline=None)
@given(task_vectors(), st.sampled_from(rules.TALL_LAMBDAS))
def test_tall_masks_are_the_definitions(vectors: Vectors, strictness: float) -> None:
    total = rules.total(vectors)

    for vector in vectors:
        streamed = peers.tall_mask(vector, total, strictness)
        assert np.array_equal(streamed, rules.tall_mask(vector, total, strictness))


@settings(deadline=None)
@given(task_vectors())
def test_emr_serves_what_the_definition_serves(vectors: Vectors) -> None:
    unified = peers.emr_unified(vectors, rules.total(vectors))

    assert np.array_equal(unified, rules.emr_unified(vectors))
    for vector in vectors:
        mask, rescaler = peers.emr_mask(vector, unified)
        served = np.where(mask, unified, 0) * np.float32(rescaler)
        assert np.allclose(served, rules.emr_served(vector, unified), rtol=1e-6)


@settings(deadline=None)
@given(task_vectors())
def test_ties_merges_as_the_definition_does(vectors: Vectors) -> None:
    trimmed = [np.where(np.abs(v) >= rules.trim_threshold(v), v, 0) for v in vectors]

    merged = peers.ties_merged(trimmed, rules.total(trimmed))

    assert np.array_equal(merged, rules.ties(vectors))
