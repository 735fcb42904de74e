"""Looking something up with MLflow, in ways that its client lacks."""

from collections.abc import Callable
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode


def found(look: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a look-up returns, None where MLflow says that there is no such thing."""
    try:
        return look(*args, **kwargs)
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return None
        raise


def all_pages(search: Callable[..., Any], **kwargs: Any) -> list[Any]:
    """Everything that a paged search of MLflow finds."""
    found: list[Any] = []
    token = None
    while True:
        page = search(**kwargs, page_token=token)
        found += page
        token = page.token
        if not token:
            return found
