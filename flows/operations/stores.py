"""The stores of a workspace, wherever they lie: does each answer, and what is it?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flows.errors import FlowError
from flows.workspace.workspace import Workspace
from lineage import LineageError


@dataclass(frozen=True)
class StoreCheck:
    """One store: where it lies, what it answered or why it did not, and what to do then."""

    store: str
    where: str
    answered: bool
    found: str
    remedy: str | None = None


def check_stores(workspace: Workspace) -> Iterator[StoreCheck]:
    """Ask each store in turn; nothing is changed. Raises UsageError for wrong settings alone."""
    stores = workspace.settings.stores
    yield _check("lineage", stores.lineage or "lineage.duckdb", workspace.lineage.check)
    yield _check("remote", stores.remote or "as in .dvc/config", lambda: _remote(workspace))
    yield _check("mlflow", stores.mlflow or "mlflow.db", lambda: workspace.mlflow.check())


def _remote(workspace: Workspace) -> str:
    return workspace.dvc.remote.check()


def _check(store: str, where: str, ask: Callable[[], str]) -> StoreCheck:
    try:
        return StoreCheck(store, where, True, ask())
    except (FlowError, LineageError) as error:
        return StoreCheck(store, where, False, error.facts, error.remedy)
