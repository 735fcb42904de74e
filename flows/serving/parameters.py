"""What a caller may say beside the texts, and that a word which means nothing is refused.

Whom a row is asked for stands in its column `contributor`, or, of all rows, in the parameter of
that name. MLflow drops parameters that a model does not declare, with a warning in a log that no
caller sees: `contributer` would be answered by the model of nobody. Before that warning no code of
a model is run, so the warning itself is made the error.
"""

import logging
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from flows.errors import UsageError
from flows.integrations.mlflow.card import CONTRIBUTOR, DEFAULT_NEW_TOKENS

NEW_TOKENS = "max_new_tokens"
PARAMETERS = {"classification": (CONTRIBUTOR,), "generation": (CONTRIBUTOR, NEW_TOKENS)}
"""By task."""

_WARNS = logging.getLogger("mlflow.models.utils")


class _Refusal(logging.Filter):
    """Raises UsageError at MLflow's word that it drops a parameter of a model like ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        if said.startswith("Unrecognized params") and repr(CONTRIBUTOR) in said.split("{", 1)[-1]:
            names = said.partition("[")[2].partition("]")[0]
            raise unknown(names)
        return True


def refuse_unknown() -> None:
    """From now on, in this process, a parameter that our models do not declare is an error."""
    if not any(isinstance(known, _Refusal) for known in _WARNS.filters):
        _WARNS.addFilter(_Refusal())


def require_known(task: str, params: Mapping[str, Any]) -> None:
    """Raise UsageError for a parameter that a model of this task does not take."""
    if names := sorted(set(params) - set(PARAMETERS[task])):
        raise unknown(", ".join(map(repr, names)))


def unknown(names: str) -> UsageError:
    """What is said of parameters that nobody knows."""
    return UsageError(
        f"There is no parameter {names}.",
        remedy=f"the parameters are {CONTRIBUTOR} and, where text is written, {NEW_TOKENS}.",
    )


def contributors(rows: pd.DataFrame, params: Mapping[str, Any]) -> list[Any]:
    """Whom each row is asked for, as the caller wrote it; "" is nobody, and so is an empty cell.

    Raises UsageError where both a column and the parameter name somebody.
    """
    of_all = params.get(CONTRIBUTOR) or ""
    if CONTRIBUTOR not in rows or rows[CONTRIBUTOR].isna().all():  # MLflow fills in what it knows
        return [of_all] * len(rows)
    if of_all:
        raise UsageError(
            f"There is a column {CONTRIBUTOR!r} and a parameter {CONTRIBUTOR!r}.",
            remedy="name contributors by row in the column, or one for all rows in the parameter.",
        )
    column = rows[CONTRIBUTOR]
    return ["" if empty else cell for cell, empty in zip(column, column.isna(), strict=True)]


def require_once(rows: pd.DataFrame) -> None:
    """Raise UsageError where two columns have one name."""
    if not rows.columns.is_unique:
        twice = sorted({str(name) for name in rows.columns[rows.columns.duplicated()]})
        raise UsageError(
            f"There are two columns {', '.join(map(repr, twice))}.", remedy="give each once."
        )


def require_columns(rows: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise UsageError for a column that means nothing: a misspelt contributor would be nobody."""
    if unknown := [str(name) for name in rows.columns if name not in (*columns, CONTRIBUTOR)]:
        wanted = " or ".join(map(repr, columns))
        raise UsageError(
            f"There is no use for a column {', '.join(map(repr, unknown))}.",
            remedy=f"give one column {wanted} of texts, and perhaps {CONTRIBUTOR!r}.",
        )


def new_tokens(params: Mapping[str, Any]) -> int:
    """How many tokens to write at most. Raises UsageError for what is no such number."""
    asked = params.get(NEW_TOKENS)
    if asked is None:
        return DEFAULT_NEW_TOKENS
    if not isinstance(asked, numbers.Integral) or asked < 1:
        raise UsageError(
            f"{NEW_TOKENS} is {asked!r}, which is no number of tokens to write.",
            remedy=f"ask for 1 or more; without it, {DEFAULT_NEW_TOKENS} are written at most.",
        )
    return int(asked)
