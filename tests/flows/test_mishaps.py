"""What goes wrong around an opt-out stops it with a named error at most, and nothing is lost."""

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from flows.integrations.mlflow.registry import ModelStoreError
from flows.models import merge
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from tests.support.tidy import LEAVING, require_left
from tests.support.workspaces import opt_out_plainly, request

pytestmark = pytest.mark.slow  # locks are waited for


def test_with_the_clock_set_back_it_ends_the_same_and_no_state_is_before_the_one_before(
    built: Workspace,
    without_leaver: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Yesterday(datetime):
        @classmethod
        def now(cls, _zone: object = None) -> datetime:
            return datetime.now(UTC) - timedelta(days=1)

    before = current_state(built)
    request(built, LEAVING)
    monkeypatch.setattr(merge, "datetime", Yesterday)

    opt_out_plainly(built.root)

    require_left(built, without_leaver)
    assert current_state(built).created_at == before.created_at


def test_while_mlflow_cannot_be_written_nothing_is_destroyed(
    built: Workspace,
    without_leaver: bytes,
) -> None:
    removal = request(built, LEAVING)
    with sqlite3.connect(built.root / "mlflow.db", isolation_level=None) as elsewhere:
        elsewhere.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ModelStoreError, match="locked"):
            opt_out_plainly(built.root)
        elsewhere.execute("ROLLBACK")
    assert removal.next_step() == "removed"  # whose places they are is asked first
    assert built.mlflow.reading.versions() == [1]

    opt_out_plainly(built.root)
    require_left(built, without_leaver)
