"""What a caller may say beside the rows, and that a word which means nothing is refused.

MLflow drops parameters that a model does not declare, with a warning in a log that no caller sees:
`contributer` would be answered by the model of nobody. Before that warning no code of a model is
run, so the warning itself is made the error.
"""

import logging
from collections.abc import Mapping
from typing import Any

from flows.errors import UsageError
from flows.integrations.mlflow.card import DEFAULT_NEW_TOKENS

CONTRIBUTOR, NEW_TOKENS = "contributor", "max_new_tokens"
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


def new_tokens(params: Mapping[str, Any]) -> int:
    """How many tokens to write at most. Raises UsageError for what is no such number."""
    asked = params.get(NEW_TOKENS)
    if asked is None:
        return DEFAULT_NEW_TOKENS
    number = int(asked)
    if number < 1:
        raise UsageError(
            f"{NEW_TOKENS} is {number}: nothing would be written.",
            remedy=f"ask for 1 or more; without it, {DEFAULT_NEW_TOKENS} are written at most.",
        )
    return number
