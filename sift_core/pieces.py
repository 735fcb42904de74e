"""Tensors in pieces of bounded size, in the order in which canonical files hold them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

_ENTRIES = 1 << 18
"""Entries of a piece: 2 MiB of sums. A multiple of 64, so that pieces begin with a sign word."""


@dataclass(frozen=True)
class Piece:
    """The entries `start … stop` in C order of one parameter of `entries` entries."""

    name: str
    start: int
    stop: int
    entries: int

    @property
    def is_first(self) -> bool:
        """Whether the parameter begins here."""
        return self.start == 0

    @property
    def is_last(self) -> bool:
        """Whether the parameter ends here."""
        return self.stop == self.entries

    def __len__(self) -> int:
        return self.stop - self.start


def pieces(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Piece]:
    """All entries of all parameters by name; a parameter without entries is one empty piece."""
    for name in sorted(shapes):
        entries = prod(shapes[name])
        for start in range(0, max(entries, 1), _ENTRIES):
            yield Piece(name, start, min(start + _ENTRIES, entries), entries)
