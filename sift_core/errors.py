"""The errors of the method: each carries the facts and the remedy.

A bit that is not what it should be is never repaired, clipped or skipped in silence.
"""


class SiftCoreError(Exception):
    """Base of every error `sift_core` raises on purpose.

    `facts` says what was found, `remedy` says what the reader can do next.
    """

    def __init__(self, facts: str, *, remedy: str) -> None:
        self.facts = facts
        self.remedy = remedy
        super().__init__(f"{facts} Remedy: {remedy}")


class GridOverflowError(SiftCoreError):
    """A value does not fit the fixed grid, or a sum does not fit 64-bit integers."""


class MiscountError(SiftCoreError):
    """Sums and counts of a merge state that no members can have left."""


class NonFiniteError(SiftCoreError):
    """Training produced NaN or infinity."""


class CodecError(SiftCoreError):
    """A vector, mask or merge-state file is not in canonical form."""


class AlteredError(SiftCoreError):
    """A file is not the bytes that were recorded."""


class MismatchError(SiftCoreError):
    """Two artifacts do not belong together: other names, shapes, grid or sign seed."""


class ModelError(SiftCoreError):
    """A base model cannot be loaded or has nothing to train."""


class ReplicaError(SiftCoreError):
    """Processes that finetune together do not end together, or not with the same weights."""


class DataError(SiftCoreError):
    """A contributor's rows do not fit the task of the base model."""


class TooLongError(DataError):
    """A row has more tokens than `max_length`."""


class UnreadableRowError(DataError):
    """The tokenizer or the chat template of the base model refuses a row."""


class MissingReferenceError(SiftCoreError):
    """A removal is to be audited without a model that never saw the leaver."""
