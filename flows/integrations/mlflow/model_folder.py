"""The folder of a logged model: the served weights, a card, and code that MLflow runs.

Written straight into its place under `mlruns`; nothing in it is pickled.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.utils import environment
from packaging.version import Version

from flows.integrations.mlflow.card import (
    CONTRIBUTOR,
    DEFAULT_NEW_TOKENS,
    MEMBERS_FILE,
    SERVED_FOLDER,
    ModelCard,
)

_MODEL_CODE = Path(__file__).parents[2] / "serving" / "model.py"
_REQUIREMENTS = (
    "sift-masks",
    "mlflow",
    "numpy",
    "pandas",
    "peft",
    "pydantic",
    "safetensors",
    "torch",
    "transformers",
)


@dataclass(frozen=True)
class _Shape:
    """What a model of one task takes and gives."""

    columns: tuple[str, ...]
    """A row is asked in one of them."""
    example: str
    outputs: tuple[tuple[str, DataType], ...]
    params: tuple[ParamSpec, ...]


_FOR_ALL = ParamSpec(CONTRIBUTOR, DataType.string, "")  # the default is nobody: unmasked
_SHAPES = {
    "classification": _Shape(
        columns=("text",),
        example="A text to classify.",
        outputs=(("label", DataType.string), ("score", DataType.double)),
        params=(_FOR_ALL,),
    ),
    "generation": _Shape(
        columns=("prompt", "text"),
        example="A prompt to complete.",
        outputs=(("completion", DataType.string),),
        params=(_FOR_ALL, ParamSpec("max_new_tokens", DataType.long, DEFAULT_NEW_TOKENS)),
    ),
}


@contextmanager
def _requirements_fit() -> Iterator[None]:
    """Spare MLflow the question whether what is installed fits the requirements.

    They are read from what is installed. MLflow would read the files of every package there is to
    find that out: seconds of each process that registers.
    """
    asked = environment.warn_dependency_requirement_mismatches
    environment.warn_dependency_requirement_mismatches = lambda requirements: None
    try:
        yield
    finally:
        environment.warn_dependency_requirement_mismatches = asked


@_requirements_fit()
def write_model(
    folder: Path, location: str, weights: Path, card: ModelCard, run_id: str, model_id: str
) -> None:
    """Write the model into a folder: its own under `mlruns`, or one that goes to `location`.

    MLflow's own way copies artifacts through the system's temporary folder, where a killed process
    would leave weights that an opt-out never finds.
    """
    shape = _SHAPES[card.task]
    model = Model(artifact_path=location, run_id=run_id, model_id=model_id, model_uuid=model_id)
    mlflow.pyfunc.save_model(
        folder,
        python_model=_MODEL_CODE,
        mlflow_model=model,
        signature=ModelSignature(
            inputs=Schema(
                [
                    *(
                        ColSpec(DataType.string, column, required=len(shape.columns) == 1)
                        for column in shape.columns
                    ),
                    ColSpec(DataType.string, CONTRIBUTOR, required=False),
                ]
            ),
            outputs=Schema([ColSpec(kind, name) for name, kind in shape.outputs]),
            params=ParamSchema(list(shape.params)),
        ),
        input_example=(pd.DataFrame({shape.columns[0]: [shape.example]}), {CONTRIBUTOR: ""}),
        pip_requirements=_requirements(),
        # Any folder without a uv.lock: else MLflow takes one that lies in the current folder.
        uv_project_path=folder,
    )
    kept = folder / "artifacts"
    shutil.copytree(weights, kept)
    card.write(kept / "card.json")
    flavor = model.flavors[mlflow.pyfunc.FLAVOR_NAME]
    flavor["artifacts"] = {
        name: {"path": f"artifacts/{path}", "uri": f"artifacts/{path}"}
        for name, path in (
            ("served", SERVED_FOLDER),
            ("card", "card.json"),
            *[("members", MEMBERS_FILE)] * (kept / MEMBERS_FILE).exists(),
        )
    }
    del flavor["cloudpickle_version"]  # nothing here is pickled
    model.model_size_bytes = sum(
        file.stat().st_size for file in folder.rglob("*") if file.is_file()
    )
    model.save(folder / "MLmodel")


def _requirements() -> list[str]:
    """Return what the model imports, at the versions it was made with.

    Build labels such as `+cpu` are left out: they name a build, and no index has them all.
    """
    pins = []
    for name in _REQUIREMENTS:
        try:
            pins.append(f"{name}=={Version(version(name)).public}")
        except PackageNotFoundError:  # our own package, run from a source tree
            pins.append(name)
    return pins
