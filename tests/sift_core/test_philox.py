"""Random words are addressed, not drawn."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sift_core.philox import words
from tests.support import plain_philox

WHOLE = words("sign", 7, "layer.weight", 0, 300)


@given(st.integers(0, 300), st.integers(0, 300))
def test_any_slice_is_that_slice_of_the_whole(start: int, stop: int) -> None:
    stop = max(start, stop)
    assert np.array_equal(words("sign", 7, "layer.weight", start, stop - start), WHOLE[start:stop])


@given(
    st.sampled_from(["sign", "adapter"]),
    st.integers(0, 2**63),
    st.text(max_size=20),
    st.integers(0, 2**40),
)
def test_words_are_philox_as_its_paper_has_it(
    purpose: str, seed: int, parameter: str, index: int
) -> None:
    (found,) = words(purpose, seed, parameter, index, 1)
    assert int(found) == plain_philox.word(purpose, seed, parameter, index)


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**200), st.integers(0, 99))
def test_the_generator_hands_out_the_raw_stream(key: int, counter: int, count: int) -> None:
    """NumPy guarantees `random_raw` across versions; `words` takes a faster way to the same."""
    generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
    found = generator.integers(0, 2**64 - 1, count, np.uint64, endpoint=True)
    assert np.array_equal(found, np.random.Philox(key=key, counter=counter).random_raw(count))


def test_purpose_seed_and_parameter_each_change_every_word() -> None:
    one = words("sign", 7, "a", 0, 64)
    for other in (words("adapter", 7, "a", 0, 64), words("sign", 8, "a", 0, 64)):
        assert not (one == other).any()
    assert not (one == words("sign", 7, "b", 0, 64)).any()
