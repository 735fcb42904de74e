"""A whole build and opt-out where lineage, remote and models lie in servers that a team shares."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.erasure.steps.purged import PendingError, pending
from flows.errors import UsageError
from flows.evidence.audit_checks import CHECKS
from flows.evidence.inventory import Stock
from flows.evidence.verification import verify
from flows.workspace.home import read_home, write_home
from flows.workspace.locks import WorkspaceBusyError
from flows.workspace.workspace import Workspace
from tests.support.servers import PASSWORD, S3, S3_KEYS, Postgres, mlflow_server
from tests.support.workspaces import (
    CONTRIBUTORS,
    add,
    build_plainly,
    files,
    finetune_and_merge,
    make_workspace,
    marker,
    opt_out_plainly,
    request,
    reviews,
    settings,
)

pytestmark = pytest.mark.slow

FEW = CONTRIBUTORS[:4]
LEAVER = FEW[1]
BUCKET, ARTIFACTS = "our-remote", "our-models"


@dataclass
class Team:
    """A built workspace whose stores are elsewhere, and where they are."""

    workspace: Workspace
    postgres: Postgres
    s3: S3


@pytest.fixture(scope="module")
def team(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_classifier: Path,
    postgres_server: Postgres,
    s3_server: S3,
) -> Iterator[Team]:
    lineage, database = (postgres_server.create(name) for name in ("team_lineage", "team_mlflow"))
    s3_server.create(BUCKET, versioned=True)
    artifacts = s3_server.create(ARTIFACTS)
    with mlflow_server(postgres_server.url("team_mlflow", "postgresql+psycopg"), artifacts) as url:
        stores = {
            "lineage": lineage,
            "remote": f"s3://{BUCKET}/films",
            "remote_endpoint": s3_server.url,
            "mlflow": url,
            "mlflow_database": database,
        }
        root = tmp_path_factory.mktemp("team") / "workspace"
        workspace = Workspace.create(root, {**settings(tiny_classifier), "stores": stores})
        for name in FEW:
            add(workspace, reviews(name))
        build_plainly(root)
        yield Team(Workspace.open(root), postgres_server, s3_server)


def everywhere(team: Team) -> Iterator[tuple[str, bytes]]:
    """Every byte of the workspace and of the servers: name → bytes."""
    for path in team.workspace.root.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
    team.postgres.run("SELECT pg_switch_wal()", "CHECKPOINT")
    for path in team.postgres.folder.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
    for bucket in (BUCKET, ARTIFACTS):
        for key, content in team.s3.contents(bucket).items():
            yield f"s3://{bucket}/{key}", content


def holding(team: Team, *needles: bytes) -> list[str]:
    return [name for name, content in everywhere(team) if any(one in content for one in needles)]


def test_an_opt_out_ends_in_the_bytes_of_a_merge_without_them_and_leaves_nothing(
    team: Team, tmp_path: Path, tiny_classifier: Path
) -> None:
    workspace = team.workspace
    assert (
        not (workspace.root / "lineage.duckdb").exists()
        and not (workspace.root / "mlruns").exists()
    )
    verify(workspace).require()
    vector = files(workspace, LEAVER)[1].read_bytes()[-64:]
    needles = (LEAVER.encode(), marker(LEAVER).encode(), vector)
    assert {name.partition(":")[0] for name in holding(team, *needles)} >= {"s3"}
    removal = request(workspace, LEAVER)

    # The bucket is out of reach: all other places are done, and what is pending stands in lineage.
    config = workspace.root / ".dvc" / "config"
    params = workspace.root / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace(team.s3.url, "http://127.0.0.1:9"))
    with pytest.raises(PendingError, match="EndpointConnectionError"):
        opt_out_plainly(workspace.root, removal.request_id)
    left = pending(removal)
    assert {row.place for row in left} == {"dvc-remote"} and len(left) >= 4
    params.write_text(text)
    opt_out_plainly(workspace.root, removal.request_id)
    assert config.read_text().count("127.0.0.1:9") == 0

    assert pending(removal) == []
    assert holding(team, *needles) == []
    workspace = Workspace.open(workspace.root)
    verify(workspace).require()
    assert [one for _, work in CHECKS.values() for one in work(Stock(workspace))] == []
    fresh = make_workspace(
        tmp_path / "fresh", tiny_classifier, [reviews(name) for name in FEW if name != LEAVER]
    )
    finetune_and_merge(fresh)
    (mine,), (theirs,) = (list(one.merge.iterdir()) for one in (workspace, fresh))
    assert mine.read_bytes() == theirs.read_bytes()


def test_one_machine_at_a_time_changes_what_lineage_tells_of(team: Team, tmp_path: Path) -> None:
    # Another machine: its own folder and file lock, the same lineage, the same workspace.
    root = shutil.copytree(team.workspace.root, tmp_path / "other", symlinks=True)
    home = read_home(root)
    assert home is not None
    write_home(root, home.model_copy(update={"path": str(root)}))
    other = Workspace.open(root)
    with (
        team.workspace.lock(),
        pytest.raises(WorkspaceBusyError, match="another machine"),
        other.lock(),
    ):
        pass
    with other.lock():
        pass


def test_stores_that_another_workspace_uses_are_refused_and_nothing_is_made(
    team: Team, tmp_path: Path, tiny_classifier: Path
) -> None:
    theirs = team.workspace.settings.stores.model_dump()
    with pytest.raises(UsageError, match=r"stores\.lineage .* and stores\.remote .* another"):
        Workspace.create(tmp_path / "new", {**settings(tiny_classifier), "stores": theirs})
    assert not (tmp_path / "new").exists()


def test_no_password_and_no_key_is_written_anywhere_in_the_workspace(team: Team) -> None:
    secrets = (PASSWORD.encode(), S3_KEYS["AWS_SECRET_ACCESS_KEY"].encode())
    found = [
        path
        for path in team.workspace.root.rglob("*")
        if path.is_file() and any(one in path.read_bytes() for one in secrets)
    ]
    assert found == []
