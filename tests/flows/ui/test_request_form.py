"""A request filed from a form: what is refused is forgotten, and a run tried again goes on."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from flows.erasure.filing import receive, receive_by_key
from flows.errors import UsageError
from flows.integrations.prefect.database import rewrite_prefect_store
from flows.ui.forms import OptOutForm
from flows.ui.request_form import take_in
from flows.workspace.prefect_home import prefect_home
from flows.workspace.workspace import Workspace
from tests.support.workspaces import BASIS, CLERK

AS_KEY = "5d41402abc4b2a76b9719d911017c592"
"""An id that looks like a contributor key."""


def test_no_error_repeats_the_id_or_a_key_that_is_nobody_s(fresh: Workspace) -> None:
    key = fresh.key_of("ann")
    with pytest.raises(UsageError, match="No contributor") as unknown:
        receive_by_key(fresh, AS_KEY, BASIS, filed_by=CLERK)
    assert AS_KEY not in str(unknown.value)
    with pytest.raises(UsageError, match="names a contributor"):
        receive_by_key(fresh, key, BASIS, filed_by="Ann")
    with pytest.raises(UsageError, match="has no record") as foreign:
        receive_by_key(fresh, key, BASIS, ["0" * 64], filed_by=CLERK)
    filed = receive_by_key(fresh, key, BASIS, filed_by=CLERK)
    with pytest.raises(UsageError, match=filed.request_id) as twice:
        receive_by_key(fresh, key, BASIS, filed_by=CLERK)
    assert "'ann'" not in f"{foreign.value} {twice.value}"


def test_a_request_filed_by_key_is_the_one_that_the_command_would_file(fresh: Workspace) -> None:
    by_id = receive(fresh, "ann", BASIS, filed_by=CLERK)
    by_key = receive_by_key(fresh, fresh.key_of("bob"), BASIS, filed_by=CLERK)
    same = {"contributor_key", "request_id", "received_at"}
    assert by_id.model_dump(exclude=same) == by_key.model_dump(exclude=same)


def test_a_rewritten_store_keeps_nothing_of_a_row_that_was_replaced(fresh: Workspace) -> None:
    home = fresh.root / ".sift" / "prefect"
    home.mkdir(exist_ok=True)
    with closing(sqlite3.connect(home / "prefect.db")) as server:  # it goes on, as Prefect's does
        server.execute("PRAGMA journal_mode = WAL")
        server.execute("CREATE TABLE flow_run (parameters TEXT)")
        server.execute("INSERT INTO flow_run VALUES ('ann ann ann')")
        server.commit()
        server.execute("UPDATE flow_run SET parameters = '{}'")
        server.commit()
        before = b"".join(path.read_bytes() for path in home.iterdir())
        rewrite_prefect_store(prefect_home(fresh.root))
        after = b"".join(path.read_bytes() for path in home.iterdir())
        assert server.execute("SELECT * FROM flow_run").fetchall() == [("{}",)]
    assert b"ann ann ann" in before and b"ann ann ann" not in after


@pytest.mark.slow
def test_prefect_forgets_what_a_form_said_once_it_is_read(
    fresh: Workspace, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewritten: list[Path] = []
    monkeypatch.setattr("flows.ui.request_form.rewrite_prefect_store", rewritten.append)

    @flow(validate_parameters=False)
    def officer(form: Any) -> tuple[str, list[str]]:
        return str(flow_run.get_id()), take_in(fresh, form).requests

    def kept(state: Any) -> Any:
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(state.state_details.flow_run_id)
        return run.parameters["form"]

    said = {"contributor_key": fresh.key_of("ann"), "filed_by": CLERK}
    first = officer(said, return_state=True)
    assert first.result()[1] == ["opt-out-0001"] and rewritten == []
    assert kept(first) == OptOutForm(requests=["opt-out-0001"]).model_dump(mode="json")
    # Killed after filing, it would be tried again with the form as it was.
    assert officer(said)[1] == officer(kept(first))[1] == ["opt-out-0001"]

    for refused in (
        {"contributor_key": AS_KEY},
        {"contributor_key": fresh.key_of("bob"), "filed_by": "bob"},
        {"contributor_key": "bob"},  # where somebody told Prefect not to validate
        {"bob": "bob"},
    ):
        state = officer(refused, return_state=True)
        with pytest.raises(UsageError):
            state.result()
        assert kept(state) == OptOutForm().model_dump(mode="json")
        assert "bob" not in str(state.message) and AS_KEY not in str(state.message)
    assert rewritten == [prefect_home(fresh.root)] * 4
