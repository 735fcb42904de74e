"""Whatever a worker gives back is the honest result, or does not count for a named reason."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.integrations.staging.staging import RemoteAddress, Staging
from flows.training.workers.checks import read_manifest
from flows.training.workers.errors import (
    DigestError,
    MachineError,
    ManifestError,
    ObjectAlteredError,
    ObjectInvalidError,
    ObjectMissingError,
    QuarantinedError,
)
from sift_core import TaskVector
from sift_core.canonical import encode
from tests.support.manifests import (
    DIGEST_SEED,
    EXPECTED,
    SHAPES,
    SIGN_SEED,
    TASK,
    Given,
    take_in,
    vector,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("given")


def test_an_honest_result_counts_with_what_is_recomputed_here(folder: Path) -> None:
    own = vector()
    found = Given.honest(own).counted(folder)

    assert found.digest == own.linear_digest(DIGEST_SEED)
    assert (found.entries, found.nonzero) == (own.mask.entries, own.mask.nonzero)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["vector", "mask"]), st.data())
def test_no_changed_byte_counts_even_where_the_manifest_names_the_changed_file(
    folder: Path, name: str, data: st.DataObject
) -> None:
    own = Given.honest()
    content = bytearray(getattr(own, name))
    where = data.draw(st.integers(0, len(content) - 1))
    how = data.draw(st.sampled_from(["flip", "insert", "cut", "truncate"]))
    if how == "flip":
        content[where] ^= data.draw(st.integers(1, 255))
    elif how == "insert":
        content.insert(where, data.draw(st.integers(0, 255)))
    elif how == "cut":
        del content[where]
    else:
        del content[where:]
    setattr(own, name, bytes(content))

    with pytest.raises(ObjectAlteredError):
        own.counted(folder)
    with pytest.raises(QuarantinedError):  # a magnitude that is another is caught by the digest
        own.naming_its_files().counted(folder)


@pytest.mark.parametrize(
    "own",
    [
        vector(sign_seed=SIGN_SEED + 1),
        vector(grid_bits=23),
        vector(shapes={**SHAPES, "more": (2,)}),
        vector(shapes={name: SHAPES[name] for name in ("layer.bias", "norm")}),
        vector(shapes={**SHAPES, "layer.weight": (5, 4)}),
        vector(shapes={**SHAPES, "layer.weight": (4, 5, 1)}),
    ],
    ids=["sign seed", "grid", "one more", "one less", "transposed", "reshaped"],
)
def test_a_sound_vector_of_another_model_does_not_count(folder: Path, own: TaskVector) -> None:
    with pytest.raises((ObjectInvalidError, ObjectAlteredError)):
        Given.honest(own).counted(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0, -0.0])
def test_a_magnitude_that_is_not_finite_and_positive_does_not_count(
    folder: Path, value: float
) -> None:
    own = vector()
    own.magnitudes["layer.weight"][0] = value
    given_ = Given.honest()
    given_.vector = own.to_bytes()

    with pytest.raises(ObjectInvalidError):
        given_.naming_its_files().counted(folder)


def test_a_vector_of_float32_does_not_count(folder: Path) -> None:
    own, given_ = vector(), Given.honest()
    wide = {name: values.astype(np.float32) for name, values in own.magnitudes.items()}
    about = {"grid_bits": 24, "mask_sha256": own.mask.sha256}
    given_.vector = encode("vector/1", wide, about)

    with pytest.raises((ObjectInvalidError, ObjectAlteredError)):
        given_.naming_its_files().counted(folder)


def test_a_mask_that_is_not_the_support_of_its_vector_does_not_count(folder: Path) -> None:
    given_ = Given.honest()
    given_.mask = vector(seed=1).mask.to_bytes()

    with pytest.raises(ObjectInvalidError):
        given_.naming_its_files().counted(folder)


def test_another_valid_vector_under_the_claimed_digest_does_not_count(folder: Path) -> None:
    given_, other = Given.honest(), Given.honest(vector(seed=1))
    given_.vector, given_.mask = other.vector, other.mask

    with pytest.raises(DigestError):
        given_.naming_its_files().counted(folder)


def test_an_object_that_is_named_and_missing_does_not_count(folder: Path) -> None:
    given_ = Given.honest()
    staging = Staging(RemoteAddress(url=str(folder / "empty")))
    with pytest.raises(ObjectMissingError):
        take_in(staging, json.dumps(given_.manifest).encode(), folder)


@pytest.mark.parametrize("size", [-1, 1, 10**6])
def test_an_object_of_another_size_than_named_does_not_count(folder: Path, size: int) -> None:
    given_ = Given.honest()
    given_.manifest["vector"]["bytes"] += size
    with pytest.raises(ObjectAlteredError):
        given_.counted(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("contributor_key", "b" * 32),
        ("run_id", "9" * 64),
        ("dataset_sha256", "9" * 64),
        ("base_id", "9" * 64),
        ("format", "sift-manifest/2"),
        ("outcome", "recorded"),
        ("linear_digest", [str(2**64), "0"]),
        ("linear_digest", [1, 2]),
        ("first_loss", "NaN"),
        ("seconds", 2.0),
        ("first_loss", 0.123),
        ("last_loss", 100.01),
        ("last_loss", -0.0),
        ("vector", {"sha256": "../../x", "bytes": 1}),
        ("vector", {"sha256": "9" * 64, "bytes": 2**63}),
        ("mask", None),
        ("machine", "<b>"),
        ("surroundings", {"code_version": "<b>"}),
        ("note", "only reader-00 wrote this"),
    ],
)
def test_a_manifest_with_a_wrong_field_does_not_count_and_is_not_quoted(
    folder: Path, field: str, value: Any
) -> None:
    given_ = Given.honest()
    text = json.dumps({**given_.manifest, field: value}).encode()
    with pytest.raises(ManifestError) as caught:
        read_manifest(text, TASK, EXPECTED)
    assert "reader" not in str(caught.value) and "<b>" not in str(caught.value)


@settings(max_examples=30)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_other_bytes_are_no_manifest(data: bytes) -> None:
    with pytest.raises(ManifestError):
        read_manifest(data, TASK, EXPECTED)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b" " * 70_000,
        b'{"first_loss": 1e999}',
        b"NaN",
        b"1" * 5000,
    ],
    ids=["nothing", "nested lists", "nested objects", "long", "huge", "NaN", "digits"],
)
def test_bytes_made_to_break_a_parser_are_no_manifest(data: bytes) -> None:
    with pytest.raises(ManifestError):
        read_manifest(data, TASK, EXPECTED)


def test_a_machine_that_nobody_admitted_does_not_count() -> None:
    given_ = Given.honest()
    given_.manifest["machine"] = "9" * 64
    with pytest.raises(MachineError):
        read_manifest(json.dumps(given_.manifest).encode(), TASK, EXPECTED)
