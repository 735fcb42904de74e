"""What goes wrong around an opt-out stops it with a named error, and nothing is lost by it."""

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from flows import merging
from flows.doors.mlflow import ModelStoreError
from flows.merging import current_state
from flows.workspace import Workspace
from lineage.errors import LineageConflictError
from tests.flows.test_faults import (
    LEAVER,
    require_left,
    without_leaver,  # noqa: F401  a fixture
)
from tests.flows.workspaces import opt_out_plainly, request

pytestmark = pytest.mark.slow  # locks are waited for


def test_with_the_clock_set_back_nothing_is_merged_until_it_is_right(
    built: Workspace,
    without_leaver: bytes,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Yesterday(datetime):
        @classmethod
        def now(cls, _zone: object = None) -> datetime:
            return datetime.now(UTC) - timedelta(days=1)

    removal, before = request(built, LEAVER), current_state(built)
    with monkeypatch.context() as wrong:
        wrong.setattr(merging, "datetime", Yesterday)
        with pytest.raises(LineageConflictError, match="correct the clock"):
            opt_out_plainly(built.root)
    assert current_state(built) == before
    assert removal.next_step() == "removed"

    opt_out_plainly(built.root)
    require_left(built, without_leaver)


def test_while_mlflow_cannot_be_written_nothing_is_destroyed(
    built: Workspace,
    without_leaver: bytes,  # noqa: F811
) -> None:
    removal = request(built, LEAVER)
    with sqlite3.connect(built.root / "mlflow.db", isolation_level=None) as elsewhere:
        elsewhere.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ModelStoreError, match="locked"):
            opt_out_plainly(built.root)
        elsewhere.execute("ROLLBACK")
    assert removal.next_step() == "registered"
    assert built.mlflow.versions() == [1]

    opt_out_plainly(built.root)
    require_left(built, without_leaver)
