"""Collections within a frozen block pass over what was there before, and over nothing else."""

import gc
import weakref

import pytest

from sift_core.collector import frozen


class Ring:
    """Something that only the collector takes away."""

    def __init__(self) -> None:
        self.itself = self


def test_what_becomes_garbage_within_is_collected_within() -> None:
    with frozen():
        gone = weakref.ref(Ring())
        gc.collect()
        assert gone() is None


def test_what_was_there_before_is_walked_again_afterwards() -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    with frozen():
        del ring
        gc.collect()
        assert gone() is not None
    gc.collect()
    assert gone() is None


def test_one_within_another_is_part_of_it_also_where_work_fails() -> None:
    with frozen():
        with pytest.raises(ZeroDivisionError), frozen():
            raise ZeroDivisionError
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
