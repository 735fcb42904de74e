"""What a merge state is, entry by entry: the sum S and the count C of the members that moved it.

    S = Σ_t τ_t,   C = Σ_t m_t        integers, so both can be undone to the bit

Every member that moves an entry moves it by at least one step of the grid, and all of them in the
same direction. So |S| ≥ C, and S = 0 exactly where C = 0; no set of members leaves anything else.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sift_core.blocks import Block
from sift_core.errors import MiscountError
from sift_core.fixed_point import LARGEST_SUM, require_in_range

_COUNT_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio, odd: no sum and count of a merge make up for each other."""


Integers = NDArray[np.integer[Any]]

_NARROW = np.iinfo(np.int32)


def width_of(largest: int) -> type[np.signedinteger[Any]]:
    """The narrowest dtype that sums up to ± `largest` are computed in: half the memory to move."""
    return np.int32 if largest <= _NARROW.max else np.int64


@dataclass(frozen=True)
class Totals:
    """S and C of some entries, of one shape. Of a change, both may be negative.

    Each in any dtype that has room, as narrow as they come out of a file.
    """

    sums: Integers
    counts: Integers

    @cached_property
    def largest(self) -> int:
        """The largest |S|, 0 of no entries."""
        return max(int(self.sums.max()), -int(self.sums.min())) if self.sums.size else 0

    @cached_property
    def most(self) -> int:
        """The largest C, 0 of no entries."""
        return int(self.counts.max()) if self.counts.size else 0

    def digest_input(self) -> NDArray[np.uint64]:
        """What the linear digest reads: S + k·C mod 2^64, linear in both, of the same shape."""
        combined = np.empty(self.counts.shape, np.uint64)
        combined[...] = self.counts  # a negative one wraps, as it should
        combined *= _COUNT_FACTOR
        signed = combined.view(np.int64)
        signed += self.sums
        return combined

    def __add__(self, other: "Totals") -> "Totals":
        """Entry by entry, in dtypes that have room for it."""
        width = width_of(self.largest + other.largest)
        return Totals(
            np.add(self.sums, other.sums, dtype=width, casting="same_kind"),
            self.counts + other.counts,  # NumPy widens these as needed
        )

    def __getitem__(self, span: slice) -> "Totals":
        return Totals(self.sums[span], self.counts[span])


def require_totals(block: Block, totals: Totals, members: int) -> None:
    """Raise GridOverflowError or MiscountError unless some `members` can have left these totals.

    The error names the parameter.
    """
    if totals.largest > LARGEST_SUM:
        for piece, span in block.spans():
            require_in_range(piece.name, totals.sums[span])
    if _possible(totals, members):
        return
    for piece, span in block.spans():
        if not _possible(totals[span], members):
            raise MiscountError(
                f"The counts of {piece.name!r} are not those of any {members} members.",
                remedy="restore the merge state with `dvc checkout`, then run `sift verify`; it "
                "is as lineage recorded it, or a vector was added or removed twice.",
            )


def _possible(totals: Totals, members: int) -> bool:
    """Whether 0 ≤ C ≤ T, |S| ≥ C, and S = 0 where C = 0."""
    sums, counts = totals.sums, totals.counts
    if not counts.size:
        return True
    if totals.most > members or counts.min() < 0:
        return False
    # Where |S| ≥ C, an S of 0 has a C of 0; as many of both are 0, so it is the same entries.
    return bool((np.abs(sums) >= counts).all()) and (
        np.count_nonzero(sums) == np.count_nonzero(counts)
    )
