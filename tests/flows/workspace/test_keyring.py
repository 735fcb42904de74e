"""Keys: made with the workspace, readable by their owner alone, replaced without a gap."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.errors import UsageError
from flows.workspace.keyring import OVERRIDE, Keys, read_ring, write_public
from flows.workspace.workspace import Workspace
from lineage.certificates.envelope import EvidenceError, KeyFileError, SigningKey


@pytest.fixture
def keys(fresh: Workspace) -> Keys:
    """The keys of a new workspace."""
    return Keys(fresh.root)


def private_bytes(keys: Keys) -> list[bytes]:
    """What must stand in no other file: the base64 of both private keys."""
    return [b"".join(path.read_bytes().splitlines()[1:-1]) for path in private_files(keys)]


def private_files(keys: Keys) -> list[Path]:
    return [keys.signing_file, keys.model_file]


def test_a_new_workspace_has_keys_that_nobody_else_can_read(keys: Keys) -> None:
    assert keys.signing_key().public.key_id == keys.ring().current.key_id
    assert keys.model_key_file() == keys.model_file
    for path in private_files(keys):
        assert path.stat().st_mode & 0o777 == 0o600
    assert keys.folder.stat().st_mode & 0o777 == 0o700


def test_git_and_dvc_do_not_see_keys(keys: Keys) -> None:
    for path in keys.folder.rglob("*"):
        ignored = subprocess.run(["git", "check-ignore", "-q", str(path)], cwd=keys.root)
        assert ignored.returncode == 0, path
    tracked = subprocess.run(
        ["git", "ls-files", "--", ".sift"], cwd=keys.root, capture_output=True, check=True
    )
    assert tracked.stdout == b""


def test_private_bytes_are_in_their_own_files_alone(keys: Keys, tmp_path: Path) -> None:
    write_public(keys, tmp_path / "public")
    secrets = private_bytes(keys)
    for folder in (keys.root, tmp_path / "public"):
        for path in folder.rglob("*"):
            if path.is_file() and path not in private_files(keys):
                assert not any(secret in path.read_bytes() for secret in secrets), path
    assert not any(secret.decode() in repr(keys.signing_key()) for secret in secrets)


def test_keys_are_not_made_twice(keys: Keys) -> None:
    with pytest.raises(UsageError, match="has its keys already"):
        keys.create()


def test_a_workspace_without_keys_says_how_to_make_them(keys: Keys) -> None:
    shutil.rmtree(keys.folder)
    with pytest.raises(UsageError, match="sift keys init"):
        keys.signing_key()


def test_a_lost_key_is_not_replaced_in_silence(keys: Keys) -> None:
    keys.signing_file.unlink()
    for ask in (keys.create, keys.signing_key):
        with pytest.raises(KeyFileError, match="is lost"):
            ask()
    keys.signing_file.write_bytes(SigningKey.generate().pem())
    keys.signing_file.chmod(0o600)
    with pytest.raises(KeyFileError, match="the workspace's is"):
        keys.signing_key()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_can_read_is_refused(keys: Keys, mode: int) -> None:
    keys.signing_file.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        keys.signing_key()


def test_a_key_elsewhere_is_used_and_not_copied(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "mounted" / "key.pem"
    elsewhere.parent.mkdir()
    keys.signing_file.rename(elsewhere)
    with pytest.raises(KeyFileError, match=OVERRIDE):
        keys.signing_key()
    monkeypatch.setenv(OVERRIDE, str(elsewhere))
    assert keys.signing_key().public.key_id == keys.ring().current.key_id
    assert not (keys.folder / "signing.pem").exists()


def test_rotation_keeps_the_old_public_key_and_deletes_the_old_private_one(keys: Keys) -> None:
    before, secrets = keys.ring(), private_bytes(keys)
    after = keys.rotate(certificates=4)

    assert after.terms[0].key.key_id == before.current.key_id
    assert [(term.first, term.last) for term in after.terms] == [(1, 4), (5, None)]
    assert after.current.key_id == keys.signing_key().public.key_id
    assert after.model_keys[0] == before.model_keys[0] != after.model_keys[1]
    assert keys.model_key_file().is_file()
    for path in keys.root.rglob("*"):
        assert not path.is_file() or not any(old in path.read_bytes() for old in secrets), path


def test_what_an_auditor_is_given_leads_to_every_key(keys: Keys, tmp_path: Path) -> None:
    keys.rotate(certificates=0)
    write_public(keys, tmp_path / "public")
    assert read_ring(tmp_path / "public").current.key_id == keys.signing_key().public.key_id
    with pytest.raises(UsageError, match="is not empty"):
        write_public(keys, tmp_path / "public")
    (tmp_path / "public" / "0001.dsse.json").unlink()
    with pytest.raises(EvidenceError):
        read_ring(tmp_path / "public")


def test_there_are_no_keys_to_read_where_there_are_none(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.pem"):
        with pytest.raises(UsageError, match="no public key"):
            read_ring(path)


_DEADLY = """
import os, signal, sys
from pathlib import Path
from flows.workspace import keyring
root, work, name, when, of = sys.argv[1:]
owner = keyring.Keys if hasattr(keyring.Keys, name) else keyring
real = getattr(owner, name)
def deadly(*arguments, **named):
    here = of in repr(arguments)
    if here and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(*arguments, **named)
    if here:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(owner, name, deadly)
keys = keyring.Keys(Path(root))
keys.rotate(0) if work == "rotate" else keys.create()
"""


def dies(root: Path, work: str, when: str, name: str, of: str = "") -> bool:
    """Whether a process that makes or rotates keys was killed at that call."""
    ended = subprocess.run([sys.executable, "-c", _DEADLY, str(root), work, name, when, of])
    return ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "point",
    [
        ("before", "_write", "signing.pem.next"),
        ("after", "_write", "signing.pem.next"),
        ("after", "_append"),
        ("before", "_name_model_key"),
    ],
    ids=str,
)
def test_a_rotation_that_dies_is_finished_by_the_next_one(
    keys: Keys, point: tuple[str, ...]
) -> None:
    first = keys.ring().current.key_id

    assert dies(keys.root, "rotate", *point)
    ring = keys.rotate(0)

    assert ring.terms[0].key.key_id == first != ring.current.key_id
    assert keys.signing_key().public.key_id == ring.current.key_id
    assert keys.model_key_file().is_file()
    assert not list(keys.folder.rglob("*.next")) and not list(keys.folder.rglob("*.new"))


def test_making_keys_that_dies_is_finished_by_the_next_call(keys: Keys) -> None:
    for path in sorted(keys.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert dies(keys.root, "create", "after", "_write", "signing.pem")
    made = SigningKey.from_pem(keys.signing_file.read_bytes(), "the key").public.key_id

    assert keys.create().current.key_id == made
    assert not list(keys.folder.rglob("*.new"))
    names = sorted(path.name for path in keys.public_folder.iterdir())
    assert names == ["0000.pem", "0001.dsse.json"]
