"""A real Prefect server, real workers in folders of their own, one of them killed in the middle."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.integrations.staging.staging import RemoteAddress, Staging
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from tests.support.servers import prefect_server_on
from tests.support.traces import traces
from tests.support.workers import POOL, command, machines, make_pool, run, until
from tests.support.workspaces import add, build_plainly, marker, request, reviews, settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NAMES = tuple(f"reader {number:02}" for number in range(8))


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What every process of this platform needs to find the Prefect server."""
    (tmp_path / "prefect").mkdir()
    database = f"sqlite+aiosqlite:///{tmp_path / 'prefect' / 'server.db'}"
    with prefect_server_on(database) as url:
        found = {"PREFECT_API_URL": url}
        make_pool(found)
        yield found


def workspace(root: Path, source: Path, **build: object) -> Workspace:
    """The workspace of everybody; these settings of `build` are in its params.yaml."""
    changes = settings(source)
    workspace = Workspace.create(root, changes | {"build": changes["build"] | build})
    for rows in map(reviews, NAMES):
        add(workspace, rows)
    return workspace


def test_three_machines_one_of_them_killed_end_in_the_state_of_one_process(
    tmp_path: Path, tiny_classifier: Path, variables: dict[str, str]
) -> None:
    many = workspace(
        tmp_path / "many" / "workspace",
        tiny_classifier,
        pool=POOL,
        shard_size=2,
        in_flight=3,
        lost_after=60,
        attempts=5,
    )
    url = variables["PREFECT_API_URL"]
    with machines(tmp_path / "machines", variables, ["one", "two", "three"]) as workers:
        with command("build", "-w", str(many.root), "--json", variables=variables) as build:
            until(lambda: workers[0].is_training(url), build)
            workers[0].kill()
            printed, _ = build.communicate(timeout=900)
        assert build.returncode == 0, printed
        disks = [machine.files() for machine in workers]

    one = workspace(tmp_path / "one" / "workspace", tiny_classifier)
    build_plainly(one.root)
    assert current_state(many).state_sha256 == current_state(one).state_sha256
    words = [marker(name).encode() for name in NAMES] + [
        many.key_of(name).encode() for name in NAMES
    ]
    on_disk = [name for disk in disks for name, data in disk.items() for w in words if w in data]
    assert on_disk == []
    staging = Staging(RemoteAddress.of(many.dvc))
    assert [path for path in staging.list() if not path.startswith("base/")] == []

    removal = request(many, NAMES[3])
    needles = {"words": marker(NAMES[3]).encode(), "id": NAMES[3].encode()}
    run("opt-out", "run", removal.request_id, "-w", str(many.root), variables=variables)
    assert traces(many.root, needles) == {}
    assert traces(tmp_path / "prefect", needles) == {}
