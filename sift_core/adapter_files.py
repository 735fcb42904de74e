"""What is served of adapters, as a folder that `PeftModel.from_pretrained` loads, or added up."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from sift_bytes import draft, write_atomically
from sift_core import lora
from sift_core.blocks import Piece
from sift_core.checkpoint import load_model, load_tokenizer, outline
from sift_core.file_header import Kind
from sift_core.foreign_errors import border
from sift_core.parameterization import Adapter, start
from sift_core.serving import bytes_of
from sift_core.serving_files import WeightsWriter, lay_out
from sift_core.weights_folder import StoredWeights

_PLAIN = {"format": "pt"}
"""What PEFT and transformers write into the head of a file of weights."""


def frozen_projections(base: StoredWeights, kind: Kind, seed: int) -> dict[str, torch.Tensor]:
    """Every A of a merge of adapters, by its name in a file, in the dtype of its layer."""
    factors = {name: shape for name, shape in kind.shapes.items() if lora.is_factor(name)}
    drawn = lora.projections(
        factors, {name: place.shape for name, place in base.places.items()}, seed
    )
    return {name: a.to(base.places[lora.stored_name(name)].dtype) for name, a in drawn.items()}


@contextmanager
def adapter_folder(
    folder: Path,
    base: Path,
    labels: Sequence[str],
    adapter: Adapter,
    kind: Kind,
    base_model: str | None = None,
    revision: str | None = None,
) -> Iterator[WeightsWriter]:
    """A PEFT folder for the adapters of a base: its configuration, and A, B and a head.

    `base_model` is the Hugging Face id of the base, with its revision, where it has one. No file
    has its name before all is taken and nothing has failed. Raises ModelError, OSError.
    """
    stored = StoredWeights(base)
    at_first, frozen = start(stored, kind.shapes), frozen_projections(stored, kind, adapter.seed)
    dtypes = {name: at_first[name].dtype for name in kind.shapes}
    layout = lay_out(
        {
            **{name: (dtype, kind.shapes[name]) for name, dtype in dtypes.items()},
            **{name: (a.dtype, tuple(a.shape)) for name, a in frozen.items()},
        },
        _PLAIN,
    )
    config = adapter.config(outline(base, generates=not labels))
    with draft(folder) as file:
        file.write(layout.head)
        for name, a in frozen.items():
            file.overwrite(layout.starts[name], bytes_of(a))

        def write(piece: Piece, data: memoryview) -> None:
            start_of_piece = piece.start * dtypes[piece.name].itemsize
            file.overwrite(layout.starts[piece.name] + start_of_piece, data)

        yield WeightsWriter(kind.shapes, write)
        text = lora.config_text(config, base_model, revision)
        write_atomically(folder / lora.CONFIG_FILE, text.encode())
        file.keep(folder / lora.WEIGHTS_FILE)


def add_adapter(base: Path, adapter: Path, labels: Sequence[str], target: Path) -> None:
    """Write a base with an adapter's change added to its weights, in the base's dtype.

    W + alpha/rank · B·A is taken in float32 and rounded once. Raises ModelError.
    """
    model = load_model(base, generates=not labels, dtype=torch.float32)
    dtypes = {name: place.dtype for name, place in StoredWeights(base).places.items()}
    adapted = lora.adapted(model, adapter)
    with border("PEFT cannot add the adapter to the base model", "export it without --merged."):
        whole = adapted.merge_and_unload()
    for name, parameter in whole.named_parameters():
        parameter.data = parameter.data.to(dtypes.get(name, torch.float32))
    with border(f"{target} cannot be written", "see what the cause says."):
        whole.save_pretrained(target)
        load_tokenizer(base).save_pretrained(target)
