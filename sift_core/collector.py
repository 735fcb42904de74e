"""The garbage collector, kept from walking what cannot be garbage.

Accelerate collects after every training. What is imported for one, torch and transformers, is
hundreds of thousands of objects: a second to walk, for each of many trainings of milliseconds.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_within = 0


@contextmanager
def frozen() -> Iterator[None]:
    """Let collections within look at what came to be within, and at nothing older.

    One within another is part of it. Not for the life of a process: what is old may become garbage.
    """
    global _within
    if not _within:
        gc.freeze()
    _within += 1
    try:
        yield
    finally:
        _within -= 1
        if not _within:
            gc.unfreeze()
