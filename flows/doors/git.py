"""The door to git: a workspace's history, one commit for each build and each opt-out.

Only the `git` program is used, with fixed argument lists and no shell. Each call is shut off from
whatever else the machine knows: variables that point git at another repository, hooks, signing,
background maintenance and prompts. A commit of the workspace then means the same on every machine.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from flows.errors import FlowError

# Given with every call, so that they win over the user's and the machine's configuration. Hooks are
# switched off altogether, not only with --no-verify: a template's hook may refuse or rewrite the
# commit of a finished build, or send it somewhere, and neither is the user's wish here.
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "gc.auto": "0",
    "init.defaultBranch": "main",
    "maintenance.auto": "false",
}

# Written into the workspace's own configuration, so that a person who commits there by hand meets
# the same rules. A bare machine has no identity; a global ignore file could hide `dvc.lock`; line
# ending conversion would change bytes whose digest is recorded.
_LOCAL_SETTINGS = {
    "commit.gpgSign": "false",
    "core.autocrlf": "false",
    "core.excludesFile": "",
    "user.email": "sift@localhost",
    "user.name": "sift",
}


class GitError(FlowError):
    """git could not do what was asked; its own words are in the message."""


class Git:
    """The git repository whose top folder is `root`, never one that merely encloses it.

    Raises `GitError` where `root` is no repository or git is not installed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        if not (self.root / ".git").exists():
            raise GitError(
                f"{self.root} is not a git repository.",
                remedy="create the workspace with `sift init`, or give the right --workspace.",
            )

    @classmethod
    def init(cls, root: Path) -> "Git":
        """Make `root` a repository with the workspace's settings; history that exists is kept."""
        root = root.resolve()
        root.mkdir(parents=True, exist_ok=True)
        _git(root, "init", "--quiet", "--template=")
        for name, value in _LOCAL_SETTINGS.items():
            _git(root, "config", "--local", name, value)
        return cls(root)

    def add(self, paths: Iterable[str | Path]) -> None:
        """Stage files or folders as they are now, removals included.

        Paths are relative to the root and taken literally. A path that neither exists nor is
        tracked, or that the workspace ignores, raises `GitError`.
        """
        given = [os.fspath(path) for path in paths]
        if given:
            _git(self.root, "--literal-pathspecs", "add", "--all", "--", *given)

    def commit(self, message: str) -> str:
        """Commit what is staged; return the commit's SHA. Nothing staged: the current one's."""
        if self._has_staged():
            _git(self.root, "commit", "--quiet", "--no-verify", "--file=-", text=message)
        return self.head()

    def head(self) -> str:
        """Return the SHA of the current commit, or raise `GitError` where there is none yet."""
        found = _git(self.root, "rev-parse", "--quiet", "--verify", "HEAD", accept=(0, 1)).strip()
        if not found:
            raise GitError(
                f"{self.root} has no commit yet.", remedy="add a file and commit it first."
            )
        return found

    def trailers(self, name: str) -> list[tuple[str, str]]:
        """Return (commit, value) of each trailer `name: value` in the present history.

        Newest first. Raises `GitError` where there is no commit yet.
        """
        self.head()
        lines = _git(
            self.root, "log", f"--format=%H %(trailers:key={name},valueonly,separator=%x20)", "HEAD"
        ).splitlines()
        found = (line.partition(" ") for line in lines)
        return [(commit, value) for commit, _, value in found if value]

    def setting(self, name: str) -> str:
        """Return what git is told by this name, empty where it is told nothing."""
        return _git(self.root, "config", "--get", name, accept=(0, 1)).strip()

    def tracked(self, path: str) -> list[str]:
        """Return the files under a path, relative to the root, that git keeps."""
        return _git(self.root, "--literal-pathspecs", "ls-files", "--", path).splitlines()

    def restore(self, path: str) -> bool:
        """Put a file back as the current commit has it; False where that has none."""
        if not _git(self.root, "--literal-pathspecs", "ls-tree", "--name-only", "HEAD", "--", path):
            return False
        _git(self.root, "--literal-pathspecs", "checkout", "--quiet", "HEAD", "--", path)
        return True

    def is_clean(self) -> bool:
        """Say whether nothing is changed, staged or new; ignored files do not count."""
        return not _git(self.root, "status", "--porcelain", "--untracked-files=normal")

    def _has_staged(self) -> bool:
        return bool(_git(self.root, "diff", "--cached", "--name-only", "--no-ext-diff"))


def _git(root: Path, *arguments: str, text: str = "", accept: tuple[int, ...] = (0,)) -> str:
    """Run git in `root` with `text` as input; return its output, raise `GitError` if it fails."""
    program = shutil.which("git")
    if program is None:
        raise GitError("git was not found on PATH.", remedy="install git and run this again.")
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    done = subprocess.run(  # noqa: S603 - fixed program and options, no shell
        [program, *settings, *arguments],
        cwd=root,
        env=_environment(root),
        input=text,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode not in accept:
        raise GitError(
            f"`git {arguments[0]}` failed in {root}: {_one_line(done.stderr or done.stdout)}",
            remedy="mend what git names, then run this again. A lock file that git complains of "
            "may be deleted once no other git command runs in the workspace.",
        )
    return done.stdout


def _environment(root: Path) -> dict[str, str]:
    """Return the environment without variables that would lead git to another repository."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # Without the ceiling a damaged workspace would send git up to a repository around it.
    return kept | {
        "GIT_CEILING_DIRECTORIES": str(root.parent),
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def _one_line(text: str) -> str:
    return " ".join(text.split()) or "no message."
