"""The whole platform of a team on one machine, with real parts.

It is that of docs/how-to/workers.md and docs/how-to/stores.md.

PostgreSQL under Prefect, MLflow and lineage; an S3 server under DVC and MLflow; three worker
processes in folders of their own, one of them killed; two contributors who leave at once. It ends
in the digests of one process that did everything alone.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.evidence.verification import verify
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from sift_bytes import sha256_of
from tests.support.servers import S3, Postgres, mlflow_server, prefect_server_on
from tests.support.traces import traces
from tests.support.workers import POOL, command, machines, make_pool, run, until
from tests.support.workspaces import (
    add,
    build_plainly,
    files,
    held,
    make_workspace,
    marker,
    opt_out_plainly,
    request,
    reviews,
    settings,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

EVERYBODY = tuple(f"reader {number:02}" for number in range(24))
LEAVERS = EVERYBODY[5], EVERYBODY[17]


@dataclass(frozen=True)
class Platform:
    """Where the servers are, and what a process needs to be let in."""

    variables: dict[str, str]
    stores: dict[str, str]


@pytest.fixture
def platform(postgres_server: Postgres, s3_server: S3) -> Iterator[Platform]:
    """Databases and buckets of this test's own. Passwords are in this process's environment."""
    for database in ("scale_prefect", "scale_mlflow", "scale_lineage"):
        postgres_server.create(database)
    bucket, artifacts = s3_server.create("scale-remote"), s3_server.create("scale-mlflow")
    own = {**postgres_server.environment, **s3_server.environment}
    rows = postgres_server.url("scale_mlflow", "postgresql+psycopg")
    with ExitStack() as stack:
        prefect = prefect_server_on(postgres_server.url("scale_prefect", "postgresql+asyncpg"))
        api = stack.enter_context(prefect)
        mlflow = stack.enter_context(mlflow_server(rows, artifacts))
        stores = {
            "lineage": postgres_server.url("scale_lineage"),
            "remote": f"{bucket}/films",
            "remote_endpoint": s3_server.url,
            "mlflow": mlflow,
            "mlflow_database": postgres_server.url("scale_mlflow"),
        }
        yield Platform({**own, "PREFECT_API_URL": api}, stores)


def shared_workspace(root: Path, source: Path, platform: Platform) -> Workspace:
    """A workspace whose stores are the platform's, with everybody's rows."""
    build = {"pool": POOL, "shard_size": 3, "in_flight": 4, "lost_after": 90, "attempts": 5}
    changes = settings(source)
    workspace = Workspace.create(root, {**changes, "build": build, "stores": platform.stores})
    add(workspace, [row for name in EVERYBODY for row in reviews(name)])
    return workspace


def digests(workspace: Workspace, names: tuple[str, ...]) -> dict[str, object]:
    """SHA-256 of the state, and each contributor's rows and digests of vector and mask."""
    found: dict[str, object] = {"state": current_state(workspace).state_sha256}
    for name in names:
        rows, vector, mask = held(workspace, name)
        found[name] = [rows, sha256_of(vector), sha256_of(mask)]
    return found


def linear(workspace: Workspace) -> list[int]:
    with workspace.lineage.reader() as reader:
        return [row.value for row in reader.linear_digest(current_state(workspace).state_sha256)]


def test_a_team_with_a_lost_worker_and_two_leavers_ends_in_the_digests_of_one_process(
    tmp_path: Path,
    tiny_classifier: Path,
    platform: Platform,
    postgres_server: Postgres,
    s3_server: S3,
) -> None:
    variables = platform.variables
    make_pool(variables)
    workspace = shared_workspace(tmp_path / "team" / "workspace", tiny_classifier, platform)
    with machines(tmp_path / "machines", variables, ["one", "two", "three"]) as workers:
        with command("build", "-w", str(workspace.root), variables=variables) as build:
            until(lambda: workers[0].is_training(variables["PREFECT_API_URL"]), build)
            workers[0].kill()
            printed, _ = build.communicate(timeout=1800)
        assert build.returncode == 0, printed
        disks = [machine.files() for machine in workers]
    alone = make_workspace(
        tmp_path / "alone" / "workspace", tiny_classifier, map(reviews, EVERYBODY)
    )
    build_plainly(alone.root)

    assert digests(workspace, EVERYBODY) == digests(alone, EVERYBODY)
    assert linear(workspace) == linear(alone)
    secrets = [marker(name).encode() for name in EVERYBODY]
    secrets += [workspace.key_of(name).encode() for name in EVERYBODY]
    secrets += [path.read_bytes()[-64:] for name in EVERYBODY for path in files(workspace, name)]
    assert [n for disk in disks for n, data in disk.items() for s in secrets if s in data] == []

    needles = {name: marker(name).encode() for name in LEAVERS}
    vectors = {name: files(workspace, name)[1].read_bytes()[-64:] for name in LEAVERS}
    staying = tuple(name for name in EVERYBODY if name not in LEAVERS)
    for team in (workspace, alone):
        removals = [request(team, name).request_id for name in LEAVERS]
    run("opt-out", "run", *removals, "-w", str(workspace.root), variables=variables)
    for removal in removals:
        opt_out_plainly(alone.root, removal)

    assert digests(workspace, staying) == digests(alone, staying)
    assert linear(workspace) == linear(alone)
    assert verify(workspace).passed
    left = {**needles, **{f"vector of {name}": data for name, data in vectors.items()}}
    assert traces(workspace.root, left) == {}
    for bucket in ("scale-remote", "scale-mlflow"):
        objects = s3_server.contents(bucket)
        assert objects
        assert [key for key, data in objects.items() for n in left.values() if n in data] == []
        assert [key for key in objects if "/workers/" in key and "/workers/base/" not in key] == []
    databases = {**needles, **{f"id {name}": name.encode() for name in LEAVERS}}
    # Ends the journal's last segment; docs/how-to/stores.md says what a server needs for it.
    postgres_server.run("SELECT pg_switch_wal()", "CHECKPOINT")
    assert traces(postgres_server.folder, databases) == {}
