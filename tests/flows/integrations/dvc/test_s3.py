"""The same DVC with a remote in a bucket: of one that keeps versions too, nothing is left."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.integrations.dvc.repository import Dvc, DvcError, Remote
from tests.support.dvc_workspace import ALICE, PEOPLE, WITHOUT_ALICE, Workspace, of_alice
from tests.support.servers import S3

pytestmark = pytest.mark.slow


@pytest.fixture(params=[False, True], ids=["plain", "versioned"])
def bucket(request: pytest.FixtureRequest, s3_server: S3) -> str:
    name = f"dvc-{request.node.name.replace('[', '-').replace(']', '').replace('_', '-')}"[:63]
    s3_server.create(name, versioned=request.param)
    return name


@pytest.fixture
def workspace(
    tmp_path: Path, bare_machine: Path, bucket: str, s3_server: S3
) -> Iterator[Workspace]:
    made = Workspace.create(tmp_path / "workspace", tmp_path / "remote")
    made.dvc = Dvc(made.root, Remote(f"s3://{bucket}/our models", s3_server.url))
    yield made


def test_what_left_is_in_no_object_and_no_version(
    workspace: Workspace, bucket: str, s3_server: S3
) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    before = s3_server.contents(bucket)
    assert any(b"of Alice" in content for content in before.values())
    workspace.build(WITHOUT_ALICE)
    workspace.record("without Alice")
    held = workspace.dvc.objects.holders(of_alice())
    assert {row.place for row in held} == {"dvc-cache", "dvc-remote"}
    workspace.dvc.objects.destroy(held)
    assert workspace.dvc.objects.still_there(held) == []
    left = s3_server.contents(bucket)
    names = (b"of Alice", ALICE.encode())
    assert [key for key, body in left.items() if any(name in body for name in names)] == []
    assert workspace.dvc.objects.live() <= {
        key.split("/md5/")[1].partition("@")[0].replace("/", "") for key in left
    }
    workspace.dvc.objects.destroy(held)  # again: nothing is there, and nothing is wrong


@pytest.mark.parametrize("bucket", [True], indirect=True)
def test_what_somebody_deleted_before_is_found_among_the_versions(
    workspace: Workspace, bucket: str, s3_server: S3
) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    workspace.build(WITHOUT_ALICE)
    workspace.record("without Alice")
    for key in list(s3_server.contents(bucket)):
        if of_alice()[0] == key.split("/md5/")[1].partition("@")[0].replace("/", ""):
            s3_server.client().delete_object(Bucket=bucket, Key=key.partition("@")[0])
    held = workspace.dvc.objects.holders(of_alice(), ["dvc-remote"])
    assert of_alice()[0] in {row.md5 for row in held}
    assert workspace.dvc.objects.still_there(held) == held
    workspace.dvc.objects.destroy(held, ["dvc-remote"])
    assert not any(b"of Alice" in body for body in s3_server.contents(bucket).values())


def test_notes_lie_beside_the_objects_of_a_bucket_too(
    workspace: Workspace, bucket: str, s3_server: S3
) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    before = workspace.dvc.objects.inventory().objects
    for text in (b"one", b"another"):
        workspace.dvc.notes.write("departures/own", "a.departure", text)

    assert workspace.dvc.notes.names("departures/own") == ["a.departure"]
    assert workspace.dvc.notes.names("departures/of others") == []
    assert workspace.dvc.notes.read("departures/own", "a.departure") == b"another"
    assert any("our models/departures/own/a.departure" in key for key in s3_server.contents(bucket))
    assert workspace.dvc.objects.inventory().objects == before


def test_a_server_that_is_gone_is_an_error_of_ours(workspace: Workspace) -> None:
    workspace.dvc = Dvc(workspace.root, Remote("s3://bucket/prefix", "http://127.0.0.1:9"))
    workspace.build(PEOPLE)
    with pytest.raises(DvcError, match="EndpointConnectionError"):
        workspace.record()


def test_missing_keys_are_an_error_of_ours(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    workspace.build(PEOPLE)
    with pytest.raises(DvcError, match="NoCredentialsError"):
        workspace.record()


def test_a_bucket_that_may_not_be_listed_is_no_proof(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3fs import S3FileSystem

    workspace.build(PEOPLE)
    workspace.record()
    held = workspace.dvc.objects.holders(of_alice(), ["dvc-remote"])
    asked = S3FileSystem.call_s3

    def refusing(self: S3FileSystem, method: str, *args: object, **kwargs: object) -> object:
        if method == "list_object_versions":
            raise PermissionError("Access Denied")
        return asked(self, method, *args, **kwargs)

    monkeypatch.setattr(S3FileSystem, "call_s3", refusing)
    with pytest.raises(DvcError, match="nobody can say what is gone") as refused:
        workspace.dvc.objects.still_there(held)
    assert "s3:ListBucketVersions" in refused.value.remedy


def test_no_key_of_the_service_is_written_to_the_workspace(workspace: Workspace) -> None:
    workspace.build(PEOPLE)
    workspace.record()
    # The tests' id and secret are one word.
    found = subprocess.run(["grep", "-rl", "for-tests", str(workspace.root)], capture_output=True)
    assert found.stdout == b""
