"""The mask m_t = 1{τ_t·v > 0}: which entries a contributor's finetuning moved."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from sift_bytes import sha256_of
from sift_core.canonical import MALFORMED, MASK, broken, decode, encode, require_canonical


@dataclass(frozen=True)
class Mask:
    """One contributor's mask: `bits` maps a parameter name to bool of the parameter's shape."""

    bits: dict[str, NDArray[np.bool_]]
    sign_seed: int

    @property
    def entries(self) -> int:
        """How many entries the mask covers."""
        return sum(bits.size for bits in self.bits.values())

    @property
    def nonzero(self) -> int:
        """How many entries are set."""
        return sum(int(np.count_nonzero(bits)) for bits in self.bits.values())

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter."""
        return {name: bits.shape for name, bits in self.bits.items()}

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the mask's file."""
        return sha256_of(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The canonical file: 1 bit per entry."""
        packed = {
            name: np.packbits(bits.reshape(-1), bitorder="little")
            for name, bits in self.bits.items()
        }
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        return encode(MASK, packed, {"shapes": shapes, "sign_seed": self.sign_seed})

    @classmethod
    def from_bytes(cls, data: bytes, origin: str = "mask") -> "Mask":
        """The mask in a canonical file; `origin` names the file in errors. Raises CodecError."""
        mask = cls.recorded(data, origin)
        require_canonical(mask.to_bytes(), data, origin)
        return mask

    @classmethod
    def recorded(cls, data: bytes, origin: str = "mask") -> "Mask":
        """The same of a file that was found canonical before, and has the SHA-256 that it had then.

        In half the time. Raises CodecError.
        """
        packed, about = decode(MASK, data, origin)
        bits: dict[str, NDArray[np.bool_]] = {}
        try:
            for name, shape in about["shapes"].items():
                if packed[name].size != -(-prod(shape) // 8):  # before memory is taken for it
                    raise ValueError(f"{name!r} does not hold a bit per entry")
                flat = np.unpackbits(packed[name], count=prod(shape), bitorder="little")
                bits[name] = flat.view(np.bool_).reshape(shape)
            return cls(bits, int(about["sign_seed"]))
        except MALFORMED as error:
            raise broken(origin, str(error)) from error
