"""The fixed grid: every entry of a task vector is an integer multiple of 2^−bits.

Floating-point addition is not associative, so a sum of floats cannot be undone to the bit. On the
grid every entry *is* an integer, and integer sums can (DESIGN §3).

A magnitude is stored as float16 in units of 2^−(bits−24). Every finite float16 is an integer
multiple of 2^−24, so a stored magnitude is an integer multiple of 2^−bits with 11 significant
bits, up to 65504 units. With 24 bits the unit is 1 and magnitudes reach far beyond any finetuning;
small learning rates take more bits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sift_core.errors import GridOverflowError

_FLOAT16_BITS = 24
LARGEST_INTEGER = 65504 << _FLOAT16_BITS
"""The largest entry of a task vector as an integer, below 2^40."""
LARGEST_MAGNITUDE = 0x7BFF
"""The largest finite float16, 65504, as bits; 1 … 0x7BFF are all the finite positive ones."""
LARGEST_SUM = 2**62
"""A sum beyond this is an error; one more addend (below 2^40) still cannot wrap int64."""


@dataclass(frozen=True)
class Grid:
    """A grid of step 2^−bits, fixed for a workspace before the first finetuning."""

    bits: int = 24

    def round(self, values: NDArray[np.float64], parameter: str) -> NDArray[np.float16]:
        """Round float64 values to float16 grid units, ties to even, same shape.

        Raises GridOverflowError where a value is beyond 65504 units: it is never clipped.
        """
        with np.errstate(over="ignore"):
            units = np.ldexp(values, self.bits - _FLOAT16_BITS).astype(np.float16)
        if not np.isfinite(units).all():
            largest = float(np.abs(values).max())
            raise GridOverflowError(
                f"Parameter {parameter!r} moved by {largest:g}; the grid of {self.bits} bits "
                f"holds up to {65504 * 2.0 ** (_FLOAT16_BITS - self.bits):g}.",
                remedy="lower the learning rate, or start a workspace with fewer grid bits.",
            )
        return units

    def integers(self, magnitudes: NDArray[np.float16]) -> NDArray[np.int64]:
        """The integers n with value = n · 2^−bits; exact, int64, same shape."""
        return np.ldexp(magnitudes.astype(np.float64), _FLOAT16_BITS).astype(np.int64)

    def scale(self) -> float:
        """The value of one integer step: 2^−bits, exact in float64."""
        return 2.0**-self.bits


def _every_integer() -> NDArray[np.int64]:
    halves = np.arange(LARGEST_MAGNITUDE + 1, dtype=np.uint16).view(np.float16)
    return Grid().integers(halves)


INTEGER_OF = _every_integer()
"""The integer of every stored magnitude, by the bits of its float16: int64 of shape (31744,).

Looking up is exact and two to three times as fast as computing.
"""


def require_in_range(name: str, sums: NDArray[np.integer[Any]]) -> None:
    """Raise GridOverflowError unless every sum of a parameter is within ±2^62."""
    if sums.size and (sums.max() > LARGEST_SUM or sums.min() < -LARGEST_SUM):
        raise GridOverflowError(
            f"The sum of {name!r} leaves ±2^62, beyond {LARGEST_SUM // LARGEST_INTEGER} vectors "
            "at the grid's limit.",
            remedy="use fewer grid bits in a new workspace.",
        )
