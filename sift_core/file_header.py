"""What all vectors and merge states of a workspace have in common, and how their files begin.

A head that is not byte for byte the expected one is refused; the error says whether the file is of
another workspace or is no canonical file at all.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from sift_core.canonical import (
    DTYPES,
    MALFORMED,
    MASK,
    MERGE,
    RESTORE,
    VECTOR,
    broken,
    head,
    head_in_order,
    metadata,
)
from sift_core.errors import CodecError, MismatchError
from sift_core.fixed_point import Grid
from sift_core.merge_file import ALL_WIDTHS, Widths, bytes_of_all, layout


@dataclass(frozen=True)
class Kind:
    """What vectors and merge states of one workspace have in common."""

    shapes: Mapping[str, tuple[int, ...]]
    grid: Grid
    sign_seed: int

    def head_of_mask(self) -> bytes:
        """The head of every mask file."""
        packed = {name: (-(-prod(shape) // 8),) for name, shape in self.shapes.items()}
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        return head(MASK, np.uint8, packed, {"shapes": shapes, "sign_seed": self.sign_seed})

    def head_of_vector(self, set_bits: Mapping[str, int], mask_sha256: str) -> bytes:
        """The head of the vector file with so many magnitudes per parameter."""
        shapes = {name: (count,) for name, count in set_bits.items()}
        about = {"grid_bits": self.grid.bits, "mask_sha256": mask_sha256}
        return head(VECTOR, np.float16, shapes, about)

    def head_of_state(self, widths: Widths) -> bytes:
        """The head of every merge-state file whose sums and counts have these widths."""
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        about = {"grid_bits": self.grid.bits, "shapes": shapes, "sign_seed": self.sign_seed}
        return head_in_order(layout(self.shapes, widths), metadata(MERGE, about))

    def set_bits(self, path: Path, found: bytes) -> dict[str, int]:
        """How many magnitudes the head of a vector file claims, per parameter."""
        try:
            header = json.loads(found[8:])
            counts = {name: header[name]["shape"][0] for name in self.shapes}
        except (RecursionError, *MALFORMED) as error:
            raise broken(str(path), "its parameters are not those of its mask") from error
        if not all(type(count) is int and 0 <= count < 2**48 for count in counts.values()):
            raise broken(str(path), "a shape in it is no shape")
        return counts


def widths_in(found: bytes) -> Widths:
    """The widths that the head of a merge-state file claims; whether it is one, others look."""
    try:
        header = json.loads(found[8:])
        claimed = {name[-2:]: tensor.get("dtype") for name, tensor in header.items()}
        return next(
            widths
            for widths in ALL_WIDTHS
            if (claimed[".S"], claimed[".C"])
            == (DTYPES[widths.sums.name], DTYPES[widths.counts.name])
        )
    except (StopIteration, RecursionError, *MALFORMED):
        return Widths()


def unexpected(path: Path, found: bytes, expected: bytes) -> CodecError | MismatchError:
    """Why a head is not the expected one: another kind of content, or not canonical."""
    wanted, wanted_about = _taken_apart(expected)
    try:
        tensors, about = _taken_apart(found)
    except (RecursionError, *MALFORMED) as error:
        return broken(str(path), str(error) or type(error).__name__)
    if about.get("format") != wanted_about["format"]:
        return broken(
            str(path), f"it is a {about.get('format')!r}, not a {wanted_about['format']!r}"
        )
    if about.get("mask_sha256") != wanted_about.get("mask_sha256"):
        return MismatchError(f"{path} belongs to another mask.", remedy=RESTORE)
    shapes, wanted_shapes = about.pop("shapes", tensors), wanted_about.pop("shapes", wanted)
    if shapes != wanted_shapes:
        every = sorted(shapes.keys() | wanted_shapes.keys())
        differing = [name for name in every if shapes.get(name) != wanted_shapes.get(name)]
        return MismatchError(
            f"{path} differs from the merge in {len(differing)} parameters, first "
            f"{differing[0]!r}.",
            remedy="merge only vectors finetuned from the same base with the same settings.",
        )
    for key, value in wanted_about.items():
        if about.get(key) != value:
            return MismatchError(
                f"{path} has {key} {about.get(key)}, the merge has {value}.",
                remedy="grid and seed are fixed for a workspace; finetune this contributor again.",
            )
    return broken(str(path), "its bytes are not the canonical form of its content")


def shapes_of(found: bytes, path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the parameters in the head of a mask or merge-state file. Raises CodecError."""
    try:
        tensors, about = _taken_apart(found)
        shapes = {name: tuple(shape) for name, shape in about.get("shapes", tensors).items()}
        if not all(type(side) is int and side >= 0 for shape in shapes.values() for side in shape):
            raise ValueError("a shape in it is no shape")
        kind = Kind(shapes, Grid(about.get("grid_bits", 0)), about["sign_seed"])
        is_mask, widths = about["format"] == MASK, widths_in(found)
        if found != (kind.head_of_mask() if is_mask else kind.head_of_state(widths)):
            raise ValueError("its head is not the canonical form of its content")
        size = sum(-(-prod(shape) // 8) for shape in shapes.values())
        size = size if is_mask else bytes_of_all(shapes, widths)
        if len(found) + size != path.stat().st_size:
            raise ValueError("its length is not that of its tensors")
    except (RecursionError, *MALFORMED) as error:
        raise broken(str(path), str(error) or type(error).__name__) from error
    return shapes


def _taken_apart(head_: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The shapes and the metadata in a head. Raises one of MALFORMED, or RecursionError."""
    header = json.loads(head_[8:])
    about = json.loads(header.pop("__metadata__")["sift"])
    shapes = {name: tensor["shape"] for name, tensor in header.items()}
    if not isinstance(about, dict) or not isinstance(about.get("shapes", {}), dict):
        raise ValueError("its metadata is of another kind")
    return shapes, about
