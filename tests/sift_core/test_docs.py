"""docs/method.md gives check values to whoever writes a second implementation: they are true."""

from pathlib import Path

import numpy as np

from sift_core import linear_digest
from sift_core.counter import words
from sift_core.grid import LARGEST_INTEGER
from sift_core.merge import LARGEST_SUM

METHOD = (Path(__file__).parents[2] / "docs" / "method.md").read_text()


def test_the_words_are_those_of_the_code() -> None:
    for purpose in ("sign", "digest"):
        for word in words(purpose, 0, "p", 0, 2):
            assert f"`{word:016x}`" in METHOD


def test_the_digest_is_that_of_the_code() -> None:
    for lane in linear_digest([("p", np.array([1, -2, 3]))], 0):
        assert f"`{lane}`" in METHOD


def test_the_limits_are_those_of_the_code() -> None:
    assert f"{LARGEST_SUM // LARGEST_INTEGER:,} members" in METHOD
