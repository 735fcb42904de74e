"""Where the services of a workspace answer while `sift up` runs. Light: every command asks.

`sift up` holds a lock for as long as it runs, and writes down its addresses. The operating system
lets go of a lock when its process dies, so addresses that a killed one left behind mislead nobody.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from flows.errors import FlowError
from flows.workspace.locks import is_serving


class Services(BaseModel):
    """The pages of the servers that `sift up` has started; None where it uses another one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefect: str | None = None
    mlflow: str | None = None


def services_path(root: Path) -> Path:
    """Where they are written down."""
    return root / ".sift" / "services.json"


@contextmanager
def announced(root: Path, services: Services) -> Iterator[None]:
    """Write the addresses down while the block runs, for all commands of the workspace."""
    path = services_path(root)
    draft = path.with_suffix(".new")
    draft.write_text(services.model_dump_json(indent=2), encoding="utf-8")
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def services(root: Path) -> Services | None:
    """What answers now, None while no `sift up` runs. Raises FlowError for a damaged file."""
    path = services_path(root)
    if not is_serving(root):
        return None
    try:
        return Services.model_validate_json(path.read_bytes())
    except FileNotFoundError:  # it is starting or ending
        return None
    except ValidationError as error:
        raise FlowError(
            f"{path} is not a list of services.",
            remedy="end `sift up`, then start it again: it writes the file anew.",
        ) from error


def prefect_api(root: Path) -> str | None:
    """The API of the Prefect server that `sift up` runs for this workspace, None without one."""
    own = services(root)
    return f"{own.prefect}/api" if own and own.prefect else None


def mlflow_page(root: Path) -> str | None:
    """The address of an MLflow server that shows this workspace's models, None without one.

    MLFLOW_TRACKING_URI goes first, where it is an address.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI", "")
    if named.startswith(("http://", "https://")):
        return named.rstrip("/")
    own = services(root)
    return own.mlflow if own else None
