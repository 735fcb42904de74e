"""Base models prepared once, and the comparison with golden files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sift_core import (
    BaseModel,
    Classification,
    Encoded,
    FullWeights,
    Reading,
    StoredMask,
    StoredState,
    encode_examples,
    load_base,
    prepare_base,
)
from sift_core import blocks as blocks_module
from tests.support import tiny
from tests.support.on_disk import stored, stored_state
from tests.support.small_merge import BASES, MEMBERS, STATE

GOLDENS = Path(__file__).parent / "goldens"


@pytest.fixture(scope="session")
def classifier_folder(tiny_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier-base")
    prepare_base(str(tiny_classifier), folder, tiny.LABELS, seed=3, max_length=32)
    return folder


@pytest.fixture(scope="session")
def causal_folder(tiny_causal: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("causal-base")
    prepare_base(str(tiny_causal), folder, (), seed=3, max_length=32)
    return folder


@pytest.fixture
def classifier(classifier_folder: Path) -> BaseModel:
    return load_base(classifier_folder, tiny.LABELS, FullWeights())


@pytest.fixture
def causal(causal_folder: Path) -> BaseModel:
    return load_base(causal_folder, (), FullWeights())


@pytest.fixture
def reviews(classifier: BaseModel) -> Encoded:
    """One contributor of the classifier."""
    rows = [("the film was great", "good"), ("awful", "bad"), ("a very nice story !", "good")]
    return encode_examples(
        [Classification(text, label) for text, label in rows],
        classifier.tokenizer,
        classifier.labels,
        Reading(32),
    )


@pytest.fixture
def golden_json(update_goldens: bool) -> Callable[[str, object], None]:
    """`golden_json(name, value)`: value is what goldens/<name>.json holds."""

    def compare(name: str, value: object) -> None:
        path = GOLDENS / f"{name}.json"
        if update_goldens:
            path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
        assert json.loads(path.read_text()) == value, (
            f"{path.name} differs; read docs/explanation/method.md"
        )

    return compare


@pytest.fixture
def golden_bytes(update_goldens: bool) -> Callable[[str, bytes], None]:
    """`golden_bytes(name, data)`: data is what goldens/<name> holds."""

    def compare(name: str, data: bytes) -> None:
        path = GOLDENS / name
        if update_goldens:
            path.write_bytes(data)
        assert path.read_bytes() == data, f"{path.name} differs; read docs/explanation/method.md"

    return compare


@pytest.fixture(params=[64, 1 << 18], ids=["small blocks", "one block"])
def block_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks far smaller than a parameter, and as large as they are."""
    monkeypatch.setattr(blocks_module, "_ENTRIES", request.param)


@pytest.fixture(params=BASES)
def base(request: pytest.FixtureRequest) -> dict[str, torch.Tensor]:
    """θ0 of the small merge."""
    return BASES[request.param]


@pytest.fixture
def state(tmp_path: Path) -> StoredState:
    """The small merge on disk."""
    return stored_state(tmp_path, STATE, 3)


@pytest.fixture
def mask(tmp_path: Path) -> StoredMask:
    """Its first member's mask."""
    kept = stored(tmp_path, MEMBERS[0])
    return StoredMask(kept.mask, kept.mask_sha256)
