"""The work is the same with Prefect and without; only who can look at it differs."""

from collections.abc import Iterator

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.errors import FlowError
from flows.ui import tasks
from flows.ui.artifacts import show_table, showing_progress
from flows.ui.tasks import SiftFlow, is_watched, sift_flow, sift_task
from flows.workspace.here import working_on
from flows.workspace.workspace import Workspace
from lineage import LineageError
from sift_core import SiftCoreError


@pytest.fixture
def without_prefect() -> Iterator[None]:
    """Also where a test before has started a server for all."""
    with temporary_settings({PREFECT_API_URL: None}):
        yield


@pytest.fixture(params=["without_prefect", "prefect_server"])
def watched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways to run a flow, and no waiting: five seconds are for real networks."""
    monkeypatch.setattr(tasks, "_RETRY_DELAY_SECONDS", 0)
    request.getfixturevalue(request.param)
    return bool(request.param == "prefect_server")


def attempts(error: Exception, workspace: Workspace) -> tuple[list[bool], BaseException | None]:
    """Each try of a task that fails with `error` until the third, and how its flow ended."""
    made: list[bool] = []

    @sift_task("stumbling", retries=2)
    def stumbling() -> None:
        made.append(is_watched())
        if len(made) < 3:
            raise error

    @sift_flow("journey", "journey")
    def journey() -> str:
        with showing_progress("steps", "Steps"):
            stumbling()
        show_table("found", [{"a": 1}], "What was found")
        return "arrived"

    with working_on(workspace):
        try:
            assert journey() == "arrived"
        except Exception as end:  # noqa: BLE001  how it ended is what is looked at
            return made, end
    return made, None


def test_an_error_of_the_outside_world_is_tried_again(fresh: Workspace, watched: bool) -> None:
    error = ConnectionError("the remote hung up")
    assert attempts(error, fresh) == ([watched] * 3, None)


@pytest.mark.parametrize("family", [FlowError, LineageError, SiftCoreError])
def test_an_error_of_ours_is_not_tried_again(
    fresh: Workspace, watched: bool, family: type[FlowError]
) -> None:
    error = family("Bits differ.", remedy="none.")
    assert attempts(error, fresh) == ([watched], error)


def test_without_prefect_nothing_of_it_is_started(
    fresh: Workspace, without_prefect: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_RETRY_DELAY_SECONDS", 0)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a client was made")

    monkeypatch.setattr("prefect.client.orchestration.SyncPrefectClient.__init__", refuse)
    assert attempts(ConnectionError("the remote hung up"), fresh) == ([False] * 3, None)
    with pytest.raises(AssertionError, match="a client was made"):
        get_client(sync_client=True)


def test_a_flow_of_ours_is_a_flow_of_prefect_s_with_its_parameters() -> None:
    """A deployment, a worker and `sift up` take it for one."""
    from flows.audit import audit
    from flows.build import build
    from flows.opt_out import opt_out, process_requests

    for own in (audit, build, opt_out, process_requests):
        assert isinstance(own, SiftFlow)
        assert list(own.prefect.parameters.properties) == ["form"]
        assert own.prefect.should_validate_parameters is (own is not opt_out)
