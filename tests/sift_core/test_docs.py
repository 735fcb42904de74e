"""The check values of docs/explanation/method.md, for a second implementation, are true."""

import numpy as np

from sift_core import linear_digest
from sift_core.digest import _words as digest_words
from sift_core.fixed_point import LARGEST_INTEGER, LARGEST_SUM
from sift_core.philox import words
from tests.support.paths import ROOT

METHOD = (ROOT / "docs/explanation/method.md").read_text()


def test_the_words_are_those_of_the_code() -> None:
    for word in (*words("sign", 0, "p", 0, 2), *digest_words(0, "p", 0, 2)):
        assert f"`{word:016x}`" in METHOD


def test_the_digest_is_that_of_the_code() -> None:
    for lane in linear_digest([("p", np.array([1, -2, 3]).view(np.uint64))], 0):
        assert f"`{lane}`" in METHOD


def test_the_limits_are_those_of_the_code() -> None:
    assert f"{LARGEST_SUM // LARGEST_INTEGER:,} members" in METHOD
