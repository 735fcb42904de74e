"""A workspace whose git or DVC repository somebody has written to: none of it starts a program."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.integrations.dvc.repository import Dvc
from flows.integrations.git import Git
from flows.integrations.ownership import ForeignSettingError
from flows.workspace.workspace import Workspace

MARKER = "a-program-ran"
RUN = "/bin/sh -c 'touch \"$MARKER_FILE\"; cat'"

SETTINGS = {
    "filter.x.clean": RUN,
    "filter.x.smudge": RUN,
    "filter.x.process": RUN,
    "core.fsmonitor": RUN,
    "core.sshCommand": RUN,
    "core.editor": RUN,
    "core.pager": RUN,
    "core.askPass": RUN,
    "core.attributesFile": "../attributes",
    "core.hooksPath": "../hooks",
    "core.worktree": "/",
    "core.gitProxy": RUN,
    "core.alternateRefsCommand": RUN,
    "core.excludesFile": "../ignore",
    "core.autocrlf": "true",
    "core.bare": "maybe",
    "diff.external": RUN,
    "diff.x.textconv": RUN,
    "diff.x.command": RUN,
    "merge.x.driver": RUN,
    "credential.helper": f"!{RUN}",
    "alias.status": f"!{RUN}",
    "include.path": "../other",
    "includeIf.gitdir:/.path": "../other",
    "gpg.program": RUN,
    "gpg.ssh.program": RUN,
    "commit.gpgSign": "true",
    "log.showSignature": "true",
    "trailer.x.command": RUN,
    "sequence.editor": RUN,
    "uploadpack.packObjectsHook": RUN,
    "remote.origin.uploadpack": RUN,
    "remote.origin.vcs": "x",
    "remote.origin.url": f"ext::{RUN}",
    "url.ext::sh.insteadOf": "https://",
    "protocol.ext.allow": "always",
    "submodule.x.update": f"!{RUN}",
    "extensions.worktreeConfig": "true",
    "core.repositoryformatversion": "1",
    "safe.directory": "*",
    "interactive.diffFilter": RUN,
    "maintenance.repo": "x",
}
"""Settings of git that name a program, or lead to other settings, places or bytes."""

FILES: dict[str, Callable[[Path], object]] = {
    "attributes": lambda root: _write(root / ".git/info/attributes", "* filter=x\n"),
    "attributes in the tree": lambda root: _write(root / ".gitattributes", "* filter=x\n"),
    "attributes of plots": lambda root: _write(root / "plots/.gitattributes", "* ident\n"),
    "alternates": lambda root: _write(root / ".git/objects/info/alternates", "/elsewhere\n"),
    "a common folder": lambda root: _write(root / ".git/commondir", "/elsewhere\n"),
    "settings of a worktree": lambda root: _write(root / ".git/config.worktree", "[core]\n"),
    "grafts": lambda root: _write(root / ".git/info/grafts", "0" * 40 + "\n"),
    "submodules": lambda root: _write(root / ".gitmodules", '[submodule "x"]\n path = x\n'),
    "a link to a folder": lambda root: (
        (root / ".git").rename(root.parent / "git"),
        (root / ".git").symlink_to(root.parent / "git"),
    ),
    "a file that names a folder": lambda root: (
        (root / ".git").rename(root.parent / "git"),
        (root / ".git").write_text(f"gitdir: {root.parent / 'git'}\n"),
    ),
}

DVC = {
    "a program for a token": "['remote \"storage\"']\nurl = webdav://x\nbearer_token_command = x\n",
    "a profile's program": "['remote \"storage\"']\nconfigpath = /elsewhere\n",
    "objects by name": "['remote \"storage\"']\nversion_aware = true\n",
    "a cache that others share": "[cache]\ndir = /elsewhere\n",
    "a cache in a bucket": "[cache]\ns3 = x\n",
    "plugins": "[hydra]\nplugins_path = x\n",
    "start scripts": "['machine \"x\"']\nstartup_script = x\n",
    "pushing by itself": "[exp]\nauto_push = true\n",
    "staging by itself": "[core]\nmachine = x\n",
}
"""Settings of DVC, as its users write them into `.dvc/config.local`."""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A new workspace; whatever program is started by its settings leaves a mark."""
    mark = tmp_path / MARKER
    monkeypatch.setenv("MARKER_FILE", str(mark))
    yield Workspace.create(tmp_path / "films", {})
    assert not mark.exists()


def everything_refuses(root: Path, match: str) -> None:
    """Git, DVC and the lock each say what is wrong."""
    with pytest.raises(ForeignSettingError, match=match):
        Git(root).add(["params.yaml"])
    with pytest.raises(ForeignSettingError, match=match):
        Git.init(root)
    with pytest.raises(ForeignSettingError, match=match):
        Dvc(root).record.status()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_no_workspace_has_is_named_and_nothing_runs(
    workspace: Workspace, name: str
) -> None:
    _write(workspace.root / ".git" / "attributes", "* filter=x diff=x\n")
    subprocess.run(
        ["git", "config", "--file", workspace.root / ".git" / "config", name, SETTINGS[name]],
        check=True,
    )
    (workspace.root / "params.yaml").write_text("# other bytes\n")

    everything_refuses(workspace.root, "setting .* could start a program")


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_would_have_git_do_what_it_says_is_named(
    workspace: Workspace, case: str
) -> None:
    FILES[case](workspace.root)

    everything_refuses(workspace.root, "no workspace has it|elsewhere")


@pytest.mark.parametrize("case", DVC)
def test_a_setting_of_dvc_that_no_workspace_has_is_named(workspace: Workspace, case: str) -> None:
    _write(workspace.root / ".dvc" / "config.local", DVC[case])

    with pytest.raises(ForeignSettingError, match=r"once you know who wrote it|cache"):
        Dvc(workspace.root).record.status()
    with pytest.raises(ForeignSettingError), Workspace.open(workspace.root).lock():
        pass


def test_settings_of_the_user_and_of_variables_reach_no_call(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They win nowhere: not the user's file, not the environment's, not a system's attributes."""
    home = tmp_path / "home"
    _write(home / ".gitconfig", f'[filter "x"]\n clean = {RUN}\n[core]\n fsmonitor = {RUN}\n')
    _write(home / ".config" / "git" / "attributes", "* filter=x\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", RUN)
    (workspace.root / "params.yaml").write_text("# other bytes\n")

    workspace.git.add(["params.yaml"])
    workspace.git.commit("Other bytes")

    assert workspace.git.is_clean()


def test_where_a_person_pushes_to_is_their_own_setting(workspace: Workspace) -> None:
    config = workspace.root / ".git" / "config"
    for name, value in {
        "remote.origin.url": "git@git.example.org:films.git",
        "remote.origin.fetch": "+refs/heads/*:refs/remotes/origin/*",
        "remote.backup.url": "https://git.example.org/films.git",
        "branch.main.remote": "origin",
        "branch.main.merge": "refs/heads/main",
        "user.email": "ops@example.org",
    }.items():
        subprocess.run(["git", "config", "--file", config, name, value], check=True)

    assert Git(workspace.root).is_clean()
    assert Dvc(workspace.root).remote.url() == str(workspace.root / "remote")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
