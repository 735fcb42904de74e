"""The staging area is the same in a folder and in a bucket, and what goes there is gone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.errors import UsageError
from flows.integrations.dvc.remote import RemoteStore
from flows.integrations.dvc.repository import Dvc
from flows.integrations.staging.staging import RemoteAddress, Staging, StagingError, TooLargeError
from tests.support.servers import S3

Area = Callable[[], Staging]


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.slow)])
def area(request: pytest.FixtureRequest, tmp_path: Path) -> Area:
    """Opens one area anew: as another machine does."""
    if request.param == "folder":
        return lambda: Staging(RemoteAddress(url=str(tmp_path / "remote")))
    server: S3 = request.getfixturevalue("s3_server")
    bucket = server.create(tmp_path.name.replace("_", "-")[:60], versioned=True)
    address = RemoteAddress(url=f"{bucket}/films", options={"endpointurl": server.url})
    return lambda: Staging(address)


def test_what_one_machine_puts_another_sees_at_once(area: Area, tmp_path: Path) -> None:
    here, there = area(), area()
    assert (there.list(), there.holds("a/in/x")) == ({}, False)
    here.put("a/in/x", b"rows")
    (tmp_path / "file").write_bytes(b"weights")
    here.put("base/m/weights", tmp_path / "file")

    assert there.list() == {"a/in/x": 4, "base/m/weights": 7}
    assert there.list("a") == {"a/in/x": 4}
    assert there.read("a/in/x", 4) == b"rows"
    assert there.fetch("base/m/weights", tmp_path / "fetched", 7) == 7
    assert (tmp_path / "fetched").read_bytes() == b"weights"
    here.put("a/in/x", b"other rows")
    assert there.read("a/in/x", 10) == b"other rows"


def test_no_more_is_read_than_was_asked_for(area: Area, tmp_path: Path) -> None:
    area().put("a/out/x", b"x" * 100)
    with pytest.raises(TooLargeError):
        area().fetch("a/out/x", tmp_path / "fetched", 99)
    with pytest.raises(TooLargeError):
        area().read("a/out/x", 99)
    assert area().read_up_to("a/out/x", 7) == b"x" * 7


def test_what_is_missing_is_an_answer(area: Area, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        area().read("a/out/x", 1)
    with pytest.raises(FileNotFoundError):
        area().fetch("a/out/x", tmp_path / "fetched", 1)


def test_what_is_destroyed_is_gone_with_every_version_and_its_neighbours_stay(area: Area) -> None:
    for content in (b"first", b"second"):
        area().put("a/out/x", content)
    area().put("a/assignment.json", b"{}")
    area().put("ab/out/x", b"another's")

    area().destroy("a")
    area().destroy("a")
    assert area().remains() == {"ab/out/x": 9}


@pytest.mark.parametrize("path", ["", "../x", "a/../b", "a//b", "/a"])
def test_no_path_leaves_the_area(tmp_path: Path, path: str) -> None:
    with pytest.raises(StagingError):
        Staging(RemoteAddress(url=str(tmp_path / "remote"))).put(path, b"x")


def test_a_remote_that_cannot_be_reached_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "remote").write_text("a file, not a folder")
    with pytest.raises(StagingError, match="does not let us write"):
        Staging(RemoteAddress(url=str(tmp_path / "remote"))).put("a/x", b"x")


def test_workers_are_told_no_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {
        "url": "s3://bucket/films",
        "endpointurl": "http://127.0.0.1:9000",
        "access_key_id": "ours",
        "secret_access_key": "ours",
        "profile": "ours",
    }
    monkeypatch.setattr(RemoteStore, "config", lambda _: config)
    dvc = Dvc.__new__(Dvc)
    dvc.remote = RemoteStore.__new__(RemoteStore)
    told = RemoteAddress.of(dvc)
    assert told.model_dump() == {
        "url": "s3://bucket/films",
        "options": {"endpointurl": "http://127.0.0.1:9000"},
    }
    config["url"] = "ssh://somebody:word@host/films"
    with pytest.raises(UsageError, match="password") as refused:
        RemoteAddress.of(dvc)
    assert "word@" not in str(refused.value)
