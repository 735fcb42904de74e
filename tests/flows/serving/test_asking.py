"""What a caller of a served model may say, and that nothing of it stays for the next caller."""

from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest

from flows.errors import UsageError
from flows.integrations.mlflow.model_folder import write_model
from flows.serving.model import SiftModel
from sift_core import prepare_base
from tests.support.bases import DYNAMIC, make
from tests.support.served import Served, loaded

EMPTY = {"nothing": "", "blanks": " \n\t", "None": None, "NaN": np.nan, "a number": 7}


@pytest.mark.parametrize("cell", EMPTY)
def test_an_empty_cell_is_refused_by_row(served: Served, cell: str) -> None:
    rows = pd.DataFrame({"text": ["good", EMPTY[cell], "bad"]}, index=[7, 8, 9])
    with pytest.raises(UsageError, match=r"Row 2 of 3 has no text in column 'text'"):
        loaded(served).predict(None, rows)


def test_another_column_is_refused_by_name(served: Served) -> None:
    with pytest.raises(UsageError, match="no column 'text', there is 'texts'"):
        loaded(served).predict(None, pd.DataFrame({"texts": ["good"]}))


@pytest.mark.parametrize("number", [0, -1])
def test_no_new_tokens_are_refused(served_generator: Served, number: int) -> None:
    prompts = pd.DataFrame({"prompt": ["who"]})
    with pytest.raises(UsageError, match=f"max_new_tokens is {number}"):
        loaded(served_generator).predict(None, prompts, {"max_new_tokens": number})


@pytest.mark.parametrize("params", [{"contributer": "Ann Lee"}, {"max_new_tokens": 3}])
def test_an_unknown_parameter_is_refused(served: Served, params: dict[str, Any]) -> None:
    """MLflow alone would drop it: a misspelt contributor is served as nobody."""
    with pytest.raises(UsageError, match=f"no parameter {next(iter(params))!r}"):
        loaded(served).predict(None, pd.DataFrame({"text": ["good"]}), params)


def test_an_unknown_parameter_is_refused_through_mlflow(served: Served, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_model(folder, "films", served.weights, served.card, "0" * 32, "m-" + "0" * 32)
    model = mlflow.pyfunc.load_model(str(folder))
    rows = pd.DataFrame({"text": ["good"]})
    assert len(model.predict(rows, {"contributor": ""})) == 1
    with pytest.raises(UsageError, match="no parameter 'contributer'"):
        model.predict(rows, {"contributer": "Ann Lee"})


def test_through_mlflow_a_prompt_is_put_and_a_text_is_continued(
    served_generator: Served, tmp_path: Path
) -> None:
    folder, card = tmp_path / "model", served_generator.card
    write_model(folder, "films", served_generator.weights, card, "0" * 32, "m-" + "0" * 32)
    model, own = mlflow.pyfunc.load_model(str(folder)), loaded(served_generator)
    asked: dict[str, Any] = {"contributor": "", "max_new_tokens": 5}
    for column in ("prompt", "text"):
        rows = pd.DataFrame({column: ["where is the city"]})
        assert model.predict(rows, asked).equals(own.predict(None, rows, asked))


def test_an_answer_does_not_depend_on_what_was_asked_before(
    served_generator: Served, tmp_path: Path
) -> None:
    source = make(
        tmp_path / "source", "llama", {"rope_parameters": DYNAMIC, "max_position_embeddings": 16}
    )
    prepare_base(str(source), tmp_path / "base", (), 3, 40)

    def fresh() -> SiftModel:
        model = SiftModel()
        model.load(tmp_path / "base", served_generator.card)
        return model

    def answer(model: SiftModel, *prompts: str) -> str:
        found = model.predict(None, pd.DataFrame({"prompt": prompts}), {"max_new_tokens": 8})
        return str(list(found["completion"])[-1])

    short, long = "what is the city ?", "the " * 30
    alone, used = answer(fresh(), short), fresh()
    assert answer(used, long, short) == alone == answer(used, short)
