"""The servers of tests/support/servers.py are what their names say."""

from pathlib import Path

import httpx
import pytest

from tests.support.servers import S3, SERVER_KEY, Postgres, mlflow_server, prefect_server_on
from tests.support.services import caller

pytestmark = pytest.mark.slow


def test_postgres_asks_for_its_password(postgres_server: Postgres) -> None:
    import psycopg

    assert postgres_server.run("SELECT 1 + 1") == [(2,)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_server.url(), password="another")  # noqa: S106


def test_a_versioned_bucket_keeps_what_was_overwritten(s3_server: S3) -> None:
    s3_server.create("kept-versions", versioned=True)
    for body in (b"first", b"second"):
        s3_server.client().put_object(Bucket="kept-versions", Key="key", Body=body)
    assert sorted(s3_server.contents("kept-versions").values()) == [b"first", b"second"]


def test_mlflow_and_prefect_keep_their_rows_in_postgres(
    postgres_server: Postgres, s3_server: S3, tmp_path: Path
) -> None:
    postgres_server.create("mlflow")
    postgres_server.create("prefect")
    artifacts = s3_server.create("artifacts")
    with mlflow_server(postgres_server.url("mlflow", "postgresql+psycopg"), artifacts) as url:
        create = f"{url}/api/2.0/mlflow/experiments/create"
        assert httpx.post(create, json={"name": "films"}).status_code == 401
        made = httpx.post(create, json={"name": "films"}, auth=("anybody", SERVER_KEY))
        assert made.status_code == 200
    assert ("films",) in postgres_server.run("SELECT name FROM experiments", database="mlflow")
    with prefect_server_on(postgres_server.url("prefect", "postgresql+asyncpg")) as url:
        pool = {"name": "gpus", "type": "process"}
        client = caller(url.removesuffix("/api"), SERVER_KEY)
        assert client.post("/work_pools/", json=pool).status_code == 201
    assert ("gpus",) in postgres_server.run("SELECT name FROM work_pool", database="prefect")
