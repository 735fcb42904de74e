import os
import subprocess
from pathlib import Path

import pytest

from flows.integrations.git import Git, GitError


@pytest.fixture
def git(tmp_path: Path, bare_machine: Path) -> Git:
    return Git.init(tmp_path / "workspace")


def git_says(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_bare_machine_can_commit_with_the_local_identity(git: Git) -> None:
    (git.root / "a").write_text("1")
    git.add(["a"])
    sha = git.commit("first")
    assert sha == git.head() == git_says(git.root, "rev-parse", "HEAD")
    assert git_says(git.root, "log", "-1", "--format=%an <%ae> %s") == "sift <sift@localhost> first"


def test_a_commit_of_nothing_returns_the_current_one(git: Git) -> None:
    (git.root / "a").write_text("1")
    git.add(["a"])
    first = git.commit("first")
    git.add(["a"])
    assert git.commit("again") == first
    assert git_says(git.root, "rev-list", "--count", "HEAD") == "1"


def test_only_what_was_added_is_committed(git: Git) -> None:
    (git.root / "a").write_text("1")
    (git.root / "b").write_text("1")
    git.add(["a"])
    git.commit("first")
    assert git_says(git.root, "ls-files") == "a"
    assert not git.is_clean()
    git.add(["b"])
    git.commit("second")
    assert git.is_clean()


def test_a_file_is_put_back_as_the_commit_has_it_and_no_other(git: Git) -> None:
    for name in ("a", "b"):
        (git.root / name).write_text("1")
    git.add(["a", "b"])
    git.commit("first")
    for name in ("a", "b", "new"):
        (git.root / name).write_text("2")

    assert git.restore("a")
    assert not git.restore("new")

    assert [(git.root / name).read_text() for name in ("a", "b", "new")] == ["1", "2", "2"]


def test_a_removed_file_is_staged_as_removed(git: Git) -> None:
    (git.root / "a").write_text("1")
    git.add(["a"])
    git.commit("first")
    (git.root / "a").unlink()
    git.add(["a"])
    git.commit("second")
    assert git_says(git.root, "ls-files") == ""
    assert git.is_clean()


def test_init_again_keeps_history(git: Git) -> None:
    (git.root / "a").write_text("1")
    git.add(["a"])
    sha = git.commit("first")
    assert Git.init(git.root).head() == sha


@pytest.mark.parametrize(
    "message", ["-m", "--amend", "two\n\nparts", "# not a comment\nö", "'; rm"]
)
def test_any_message_is_a_message(git: Git, message: str) -> None:
    (git.root / "a").write_text("1")
    git.add(["a"])
    git.commit(message)
    assert git_says(git.root, "log", "-1", "--format=%B") == message


@pytest.mark.parametrize("name", [":(exclude)a", "-n", "*", "a b", "ü"])
def test_paths_are_taken_literally(git: Git, name: str) -> None:
    (git.root / name).write_text("1")
    (git.root / "other").write_text("1")
    git.add([name])
    git.commit("one file")
    assert git_says(git.root, "-c", "core.quotePath=false", "ls-files") == name


def test_hooks_signing_and_ignores_of_the_user_do_not_reach_the_workspace(
    tmp_path: Path, bare_machine: Path
) -> None:
    hooks = bare_machine / "template" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {bare_machine}/ran-{name}\nexit 1\n")
        (hooks / name).chmod(0o755)
    (bare_machine / "ignore").write_text("dvc.lock\n")
    (bare_machine / ".gitconfig").write_text(
        f"[init]\ntemplateDir = {hooks.parent}\n[core]\nhooksPath = {hooks}\nautocrlf = true\n"
        f"excludesFile = {bare_machine / 'ignore'}\n[commit]\ngpgSign = true\n"
        "[user]\nname = Someone\nemail = someone@example.org\n"
    )
    git = Git.init(tmp_path / "workspace")
    (git.root / "dvc.lock").write_bytes(b"schema: '2.0'\n")
    git.add(["dvc.lock"])
    git.commit("first")
    assert git_says(git.root, "log", "-1", "--format=%an") == "sift"
    assert not list(bare_machine.glob("ran-*"))


def test_variables_of_an_outer_git_do_not_lead_astray(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Git.init(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.root))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.root / "index"))
    (git.root / "a").write_text("1")
    git.add(["a"])
    git.commit("first")
    assert len(git.head()) == 40
    with pytest.raises(GitError, match="no commit"):
        other.head()


def test_an_enclosing_repository_is_never_used(git: Git) -> None:
    inner = git.root / "inner"
    inner.mkdir()
    with pytest.raises(GitError, match="not a git repository"):
        Git(inner)
    (inner / ".git").mkdir()  # damaged: empty
    (git.root / "a").write_text("1")
    with pytest.raises(GitError, match="not a git repository"):
        Git(inner).add(["a"])


def test_a_missing_path_or_a_lock_is_one_line_with_a_remedy(git: Git) -> None:
    with pytest.raises(GitError, match="did not match any files"):
        git.add(["nowhere"])
    (git.root / ".git" / "index.lock").touch()
    (git.root / "a").write_text("1")
    with pytest.raises(GitError, match=r"index\.lock.*Remedy") as caught:
        git.add(["a"])
    assert "\n" not in str(caught.value)


def test_a_repository_without_a_commit_says_so(git: Git) -> None:
    with pytest.raises(GitError, match="no commit yet"):
        git.commit("nothing")


def test_missing_git_names_the_remedy(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(GitError, match="install git"):
        git.head()
