"""A backup from a stranger: altered so consistently that only who made it, or our rules, tell."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flows.errors import UsageError
from flows.operations.backup.archive import MANIFEST, SIGNATURE, BackupError
from flows.operations.backup.backup import Made, make_backup
from flows.operations.backup.restore import restore
from flows.operations.backup.signature import Trust, sign
from flows.workspace.keyring import Keys
from flows.workspace.workspace import Workspace
from lineage.certificates.envelope import EvidenceError, SigningKey
from lineage.certificates.keys import KeyRing
from sift_bytes import sha256_of
from tests.support.workspaces import make_workspace, reviews

MARKER = "a-program-ran"


@dataclass
class Contents:
    """What a backup holds, to be changed: path → bytes, folders, other fields of its manifest."""

    files: dict[str, bytes]
    folders: list[str]
    fields: dict[str, object] = field(default_factory=dict)

    def add(self, path: str, text: str) -> None:
        """Write a file, over one that is there."""
        self.files[path] = text.encode()

    def edit(self, path: str, old: str, new: str) -> None:
        """Change a file."""
        assert old.encode() in self.files[path]
        self.files[path] = self.files[path].replace(old.encode(), new.encode())


Alter = Callable[[Contents, str], None]


def _filter(contents: Contents, run: str) -> None:
    contents.add(
        ".git/config", f'[filter "x"]\n clean = {run}\n smudge = {run}\n process = {run}\n'
    )
    contents.add(".git/info/attributes", "* filter=x\n")


def _tree_attributes(contents: Contents, run: str) -> None:
    contents.add(".git/config", f'[diff "x"]\n textconv = {run}\n command = {run}\n')
    contents.add(".gitattributes", "* diff=x merge=x filter=x\n")


def _setting(text: str) -> Alter:
    return lambda contents, run: contents.add(".git/config", text.replace("RUN", run))


def _file(path: str, text: str) -> Alter:
    return lambda contents, run: contents.add(path, text.replace("RUN", run))


def _nested(contents: Contents, run: str) -> None:
    contents.add("plots/.git/HEAD", "ref: refs/heads/main\n")
    contents.add("plots/.git/config", f"[core]\n fsmonitor = {run}\n")


REFUSED: dict[str, Alter] = {
    "a filter and info/attributes": _filter,
    "attributes in the tree": _tree_attributes,
    "core.fsmonitor": _setting("[core]\n fsmonitor = RUN\n"),
    "core.sshCommand": _setting("[core]\n sshCommand = RUN\n"),
    "core.hooksPath": _setting("[core]\n hooksPath = hooks\n"),
    "core.worktree": _setting("[core]\n worktree = /\n"),
    "include.path": _setting("[include]\n path = ../plots/config\n"),
    "an alias": _setting("[alias]\n status = !RUN\n"),
    "gpg.program": _setting("[commit]\n gpgSign = true\n[gpg]\n program = RUN\n"),
    "a credential helper": _setting("[credential]\n helper = !RUN\n"),
    "only what is harmless": _setting("[user]\n name = sift\n"),
    "settings of a worktree": _file(".git/config.worktree", "[core]\n fsmonitor = RUN\n"),
    "a hook": _file(".git/hooks/post-commit", "#!/bin/sh\nRUN\n"),
    "alternates": _file(".git/objects/info/alternates", "/etc\n"),
    "a common folder elsewhere": _file(".git/commondir", "/elsewhere\n"),
    "an index": _file(".git/index", "DIRC"),
    "a worktree's link": _file(".git/worktrees/x/gitdir", "/elsewhere/.git\n"),
    "a submodule's settings": _file(".git/modules/x/config", "[core]\n fsmonitor = RUN\n"),
    "submodules": _file(".gitmodules", '[submodule "x"]\n path = x\n url = ext::RUN\n'),
    "a repository within": _nested,
    "a repository within, in capitals": _file("plots/.GIT/config", "[core]\n fsmonitor = RUN\n"),
    "a branch that is a path": _file(".git/HEAD", "ref: ../../params.yaml\n"),
    "a branch of another form": _file(".git/refs/heads/main", "ref: refs/heads/../../x\n"),
    "packed branches of another form": _file(".git/packed-refs", "x\n"),
    "a name of a branch that is no name": _file(".git/refs/heads/-x", "0" * 40),
    "DVC's settings": _file(".dvc/config", "[core]\n remote = x\n"),
    "DVC's settings of a machine": _file(
        ".dvc/config.local",
        "['remote \"storage\"']\n url = webdav://x\n bearer_token_command = RUN\n",
    ),
    "a cache elsewhere": _file(".dvc/config.local", "[cache]\n dir = /\n"),
    "a repository of DVC within": _file("data/.dvc/config", "[core]\n"),
    "services to stop": _file(".sift/services.json", "[]"),
    "a workspace within": _file("data/.sift/home.json", "{}"),
    "something in .sift": _file(".sift/profile.sh", "RUN\n"),
    "something that looks like a note": _file(".sift/departures/x.departure", "x"),
    "a path out of the workspace": _file("data/../../escaped", "x"),
    "an absolute path": _file("/escaped", "x"),
}
"""Never restored, not even for who vouches for the altered backup by its digest."""

HARMLESS: dict[str, Alter] = {
    "another remote": lambda contents, _: contents.fields.update(remote="/nowhere/else"),
    "another place": lambda contents, _: contents.fields.update(workspace="/etc"),
    "a row more": lambda contents, _: contents.add("data/more.jsonl", '{"text": "poison"}\n'),
    "a stage of dvc.yaml": lambda contents, run: contents.add(
        "dvc.yaml", f"stages:\n  x:\n    cmd: {run}\n"
    ),
    "a file named twice": lambda contents, _: contents.fields.update(twice=True),
}
"""Of a backup's own form: only who made it tells them from a good one."""

CASES = REFUSED | HARMLESS


@dataclass(frozen=True)
class Good:
    """A backup as it was made, and the public keys of its workspace."""

    made: Made
    ring: KeyRing


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path) -> Good:
    root = tmp_path_factory.mktemp("backed-up")
    workspace = make_workspace(root / "films", tiny_classifier, [reviews("ann")])
    workspace.git.add(["base.json"])
    workspace.git.commit("The base model")
    return Good(make_backup(workspace, root / "good.sift"), Keys(workspace.root).ring())


@pytest.fixture
def run(tmp_path: Path) -> Iterator[str]:
    """A command that leaves a mark; it never may run."""
    yield f"touch {tmp_path / MARKER}"
    assert not (tmp_path / MARKER).exists()


def repack(good: Path, target: Path, alter: Callable[[Contents], None], key: SigningKey) -> str:
    """Write an altered backup whose every digest is right, signed by `key`; its manifest's."""
    with tarfile.open(good) as old:
        entries = {entry.name: old.extractfile(entry).read() for entry in old}  # type: ignore[union-attr]
    manifest = json.loads(entries[MANIFEST])
    contents = Contents(
        {one["path"]: entries[f"objects/{one['sha256']}"] for one in manifest["files"]},
        [one["path"] for one in manifest["folders"]],
    )
    alter(contents)
    twice = contents.fields.pop("twice", False)
    names = [*contents.files, *(list(contents.files)[:1] if twice else ())]
    inner = {str(Path(name).parent) for name in names} - {"."}
    for folder in sorted({str(up) for name in inner for up in (Path(name), *Path(name).parents)}):
        if folder not in (".", "/") and folder not in contents.folders and ".." not in folder:
            contents.folders.append(folder)
    manifest |= contents.fields
    manifest["folders"] = [{"path": name, "mode": 0o755} for name in contents.folders]
    manifest["files"] = [
        {
            **{"path": name, "sha256": sha256_of(contents.files[name])},
            **{"bytes": len(contents.files[name]), "mode": 0o755},
        }
        for name in names
    ]
    data = json.dumps(manifest).encode()
    objects = {f"objects/{sha256_of(content)}": content for content in contents.files.values()}
    signature = sign(key, data, manifest["backup_id"])
    with tarfile.open(target, "w") as new:
        for name, content in {MANIFEST: data, SIGNATURE: signature, **objects}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            new.addfile(entry, io.BytesIO(content))
    return sha256_of(data)


@pytest.mark.parametrize("case", CASES)
def test_an_altered_backup_is_not_what_was_made(
    good: Good, tmp_path: Path, run: str, case: str
) -> None:
    """Not by its digest, not by the key, though the stranger signed it with one of their own."""
    stranger = SigningKey.generate()
    bad = tmp_path / "bad.sift"
    repack(good.made.file, bad, lambda contents: CASES[case](contents, run), stranger)

    for trust in (Trust(sha256=good.made.sha256), Trust(good.ring)):
        with pytest.raises(EvidenceError):
            restore(bad, tmp_path / "restored", trust, nobody_left=True)
    with pytest.raises(UsageError, match=r"--digest.*--key"):
        restore(bad, tmp_path / "restored", Trust(), nobody_left=True)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.sift"]


@pytest.mark.parametrize("case", REFUSED)
def test_what_names_a_program_or_leads_away_is_restored_for_nobody(
    good: Good, tmp_path: Path, run: str, case: str
) -> None:
    bad = tmp_path / "bad.sift"
    alter = REFUSED[case]
    digest = repack(good.made.file, bad, lambda c: alter(c, run), SigningKey.generate())

    with pytest.raises(BackupError):
        restore(bad, tmp_path / "restored", Trust(sha256=digest), nobody_left=True)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.sift"]


def test_a_good_backup_is_known_by_its_digest_or_by_its_key(good: Good, tmp_path: Path) -> None:
    for number, trust in enumerate((Trust(sha256=good.made.sha256), Trust(good.ring))):
        done = restore(good.made.file, tmp_path / str(number), trust)

        workspace = Workspace.open(done.workspace)
        assert workspace.git.is_clean() and "data.dvc" not in workspace.dvc.record.status()
        assert not (workspace.root / ".git" / "hooks").exists()


def test_a_key_that_was_replaced_vouches_for_no_backup(good: Good, tmp_path: Path) -> None:
    workspace = Workspace.open(
        restore(good.made.file, tmp_path / "own", Trust(good.ring)).workspace
    )
    old = SigningKey.from_pem(Keys(workspace.root).signing_file.read_bytes(), "the old key")
    ring = Keys(workspace.root).rotate(certificates=0)
    bad = tmp_path / "bad.sift"
    repack(good.made.file, bad, lambda _: None, old)

    with pytest.raises(EvidenceError):
        restore(bad, tmp_path / "restored", Trust(ring), nobody_left=True)
