"""Rows over HTTP in the forms of MLflow's scoring server, which reads and writes them for us."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import CONTENT_TYPE_CSV, invocations

from flows.errors import UsageError

Predict = Callable[[pd.DataFrame, dict[str, Any]], pd.DataFrame]
"""Answers rows, with parameters that hold for all."""


@dataclass(frozen=True)
class Scored:
    """What a request is answered."""

    content: str
    status: int
    media_type: str
    rows: int


def scored(body: bytes, content_type: str, predict: Predict) -> Scored:
    """Answer the rows of a request.

    Raises UsageError for what holds no rows, and whatever `predict` raises, where MLflow would send
    its traceback to whoever asks.
    """
    if content_type.partition(";")[0].strip() == CONTENT_TYPE_CSV:
        raise UsageError(
            "CSV cannot tell an empty cell from a contributor who is called NA.",
            remedy="send JSON (application/json), such as dataframe_split, or Parquet.",
        )
    asked = _Asked(predict)
    try:
        found = invocations(body, content_type, asked, None)
    except MlflowException as error:
        if asked.trouble is not None:
            raise asked.trouble from None
        raise UsageError(
            f"MLflow cannot read the rows: {error.message.strip().partition(chr(10))[0][:300]}",
            remedy='send {"dataframe_records": [{"text": "…", "contributor": "…"}]}, or another '
            "form that MLflow's scoring server takes.",
        ) from None
    return Scored(found.response, found.status, found.mimetype, asked.rows)


class _Asked:
    """What answers, as MLflow asks it. It keeps what was raised, which MLflow would reword."""

    metadata = None

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self.rows = 0
        self.trouble: Exception | None = None

    def predict(self, data: Any, params: Any = None) -> pd.DataFrame:
        """Answer rows that MLflow has read."""
        try:
            found = self._predict(_table(data), _by_name(params))
        except Exception as error:
            self.trouble = error
            raise
        self.rows = len(found)
        return found


def _table(data: Any) -> pd.DataFrame:
    if not isinstance(data, pd.DataFrame):
        raise UsageError(
            "The rows are no table.",
            remedy="send them as dataframe_split or dataframe_records: columns have names here.",
        )
    return data


def _by_name(params: Any) -> dict[str, Any]:
    if params is not None and not isinstance(params, dict):
        raise UsageError(
            "`params` is no list of names with values.", remedy='such as {"contributor": "…"}.'
        )
    return params or {}
