"""A model whose weights stay on disk answers as one in memory does, bit for bit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sift_core import (
    BaseModel,
    Chat,
    Classification,
    Encoded,
    FullWeights,
    Reading,
    encode_examples,
    evaluate,
    load_base,
    prepare_base,
    stream_base,
)
from sift_core.errors import ModelError
from sift_core.losses import row_losses
from tests.support import tiny

SOURCES = {"causal": (), "classifier": tiny.LABELS}


@pytest.fixture(params=["float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SOURCES)
def folder(
    request: pytest.FixtureRequest,
    dtype: str,
    tiny_causal: Path,
    tiny_classifier: Path,
    tmp_path: Path,
) -> Path:
    source = {"causal": tiny_causal, "classifier": tiny_classifier}[request.param]
    labels = SOURCES[request.param]
    prepare_base(str(source), tmp_path / request.param, labels, 3, 32, None, dtype, "10KB")  # type: ignore[arg-type]
    return tmp_path / request.param


def both(folder: Path) -> tuple[BaseModel, BaseModel]:
    labels = SOURCES[folder.name]
    return load_base(folder, labels, FullWeights(["*.layer*"])), stream_base(
        folder, labels, FullWeights(["*.layer*"])
    )


def rows(base: BaseModel) -> Encoded:
    examples = (
        [Classification("good great film", "good"), Classification("bad", "bad")]
        if base.labels
        else [Chat.of(f"what is {word} ?", word) for word in ("red", "the night")]
    )
    return encode_examples(examples, base.tokenizer, base.labels, Reading(32))


def test_it_answers_as_the_model_in_memory_does(folder: Path) -> None:
    assert len(list(folder.glob("*.safetensors"))) > 1
    resident, streamed = both(folder)
    own = rows(resident)
    moved = {name: tensor + 0.25 for name, tensor in resident.trainable.items()}
    for weights in (resident.trainable, moved, resident.trainable):
        with resident.serving(weights) as model, streamed.serving(weights) as other:
            assert np.array_equal(row_losses(model, own), row_losses(other, own))
            assert evaluate(model, own) == evaluate(other, own)
    with resident.serving(moved) as model:
        assert not np.array_equal(row_losses(model, own), row_losses(streamed.model, own))


def test_it_says_of_itself_what_the_model_in_memory_says(folder: Path) -> None:
    resident, streamed = both(folder)
    assert streamed.base_id == resident.base_id and streamed.labels == resident.labels
    assert streamed.entries == resident.entries
    assert streamed.shapes == resident.shapes
    for name, tensor in resident.trainable.items():
        assert torch.equal(streamed.trainable[name], tensor)
        assert streamed.trainable[name].dtype == tensor.dtype


def test_after_an_answer_no_weights_are_left_in_memory(folder: Path) -> None:
    _, streamed = both(folder)
    row_losses(streamed.model, rows(streamed))
    assert {parameter.device.type for parameter in streamed.model.parameters()} == {"meta"}


def test_it_cannot_be_trained(causal_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be trained.*base\.streamed"):
        stream_base(causal_folder, (), FullWeights()).parameters()


def test_a_missing_tensor_is_never_made_up(causal_folder: Path, tmp_path: Path) -> None:
    for path in causal_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 parameters, first 'model\.norm\.weight'"):
        stream_base(tmp_path, (), FullWeights())


_SCORING = """
import resource, sys
from pathlib import Path
import torch
from sift_core import Chat, FullWeights, Reading, encode_examples, stream_base
from sift_core.losses import row_losses

torch.set_num_threads(1)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
small = stream_base(Path(sys.argv[1]), (), FullWeights())
rows = encode_examples([Chat.of("what is the", "red")], small.tokenizer, (), Reading(32))
row_losses(small.model, rows)  # what is imported at the first use counts for neither
before = peak()
row_losses(stream_base(Path(sys.argv[2]), (), FullWeights()).model, rows)
print(peak() - before)
"""


@pytest.mark.slow
def test_scoring_takes_the_memory_of_a_few_tensors(causal_folder: Path, tmp_path: Path) -> None:
    """34 million parameters, 134 MB; the largest tensor has 4 MB."""
    wide = tiny.wide_causal(tmp_path / "wide", hidden=512, layers=8)
    largest, whole = 4 * 2048 * 512, sum(p.stat().st_size for p in wide.glob("*.safetensors"))
    told = subprocess.run(
        [sys.executable, "-c", _SCORING, causal_folder, wide], check=True, capture_output=True
    )
    assert int(told.stdout) < 4 * largest + 2**24 < whole
