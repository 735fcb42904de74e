"""What all tests share: no network, no telemetry, tiny models, goldens that can be renewed."""

import os
from collections.abc import Callable, Iterator

# Before any import of what reads them.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    DO_NOT_TRACK="1",
    MLFLOW_DISABLE_TELEMETRY="true",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    PREFECT_LOGGING_LEVEL="WARNING",
    DVC_NO_ANALYTICS="1",
    TOKENIZERS_PARALLELISM="false",
)

from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import torch

from benchmarks.documents import marked, put_between
from tests.support import tiny
from tests.support.paths import DOCS
from tests.support.sift import Ended, Sift, without_signs_of_life

if TYPE_CHECKING:
    from tests.support.servers import S3, Postgres

# No deadline: on a shared machine a slow example says nothing about the code.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

torch.set_num_threads(1)  # two cores are shared, and these models are too small for two threads


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-goldens",
        action="store_true",
        help="rewrite the golden files with what the code gives now; read the diff before commit",
    )


@pytest.fixture(scope="session")
def update_goldens(pytestconfig: pytest.Config) -> bool:
    """Whether golden files are to be rewritten instead of compared."""
    return bool(pytestconfig.getoption("--update-goldens"))


@pytest.fixture(scope="session")
def tiny_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny encoder to pass to `prepare_base(..., labels=tiny.LABELS)`."""
    return tiny.tiny_classifier(tmp_path_factory.mktemp("tiny-classifier"))


@pytest.fixture(scope="session")
def tiny_causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny causal language model without a chat template."""
    return tiny.tiny_causal(tmp_path_factory.mktemp("tiny-causal"))


@pytest.fixture(scope="session")
def postgres_server() -> "Iterator[Postgres]":
    """A PostgreSQL server for this session; its password is in the environment meanwhile."""
    from tests.support.servers import environment, postgres

    with postgres() as server, environment(server.environment):
        yield server


@pytest.fixture(scope="session")
def s3_server() -> "Iterator[S3]":
    """An S3 server for this session; its keys are in the environment meanwhile."""
    from tests.support.servers import environment, s3

    with s3() as server, environment(server.environment):
        yield server


@pytest.fixture
def sift(capsys: pytest.CaptureFixture[str]) -> Sift:
    """Run one command: `sift("status", "--json")`."""

    from flows.cli import run  # torch's tests need no command line

    def command(*arguments: str | Path) -> Ended:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Ended(code, printed.out, without_signs_of_life(printed.err))

    return command


@pytest.fixture
def held_to(update_goldens: bool) -> Callable[[str, str, str], None]:
    """Assert that a page of docs/reference has a text between the marks of a name."""

    def check(page: str, name: str, text: str) -> None:
        path = DOCS / "reference" / f"{page}.md"
        if update_goldens:
            put_between(path, name, text)
        message = f"{path.name} is out of date: `pytest tests/docs tests/lineage --update-goldens`"
        assert marked(name, text) in path.read_text(encoding="utf-8"), message

    return check
