"""Git: a workspace's history, one commit for each build and each opt-out.

Only the `git` program is used, with fixed argument lists and no shell. Each call is shut off from
whatever else the machine knows: variables that point git at another repository, settings and
attributes of user and system, hooks, signing, background maintenance and prompts. A commit of the
workspace then means the same on every machine.

A repository's own settings can name programs by any name (`filter.NAME.clean`), so they are not
overridden one by one: before each call they are held to a closed list (`require_own_repository`).
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from flows.errors import FlowError
from flows.integrations.ownership import ForeignSettingError

# Given with every call. Hooks are switched off altogether, not only with --no-verify: a template's
# hook may refuse or rewrite the commit of a finished build, or send it somewhere. Submodules have
# settings of their own and are not looked into.
_SETTINGS = {
    "core.attributesFile": os.devnull,
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "diff.ignoreSubmodules": "all",
    "gc.auto": "0",
    "init.defaultBranch": "main",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
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

# What a repository's configuration may hold, and which values: None means any. Much of `core` is
# what `git init` writes down of the file system. A person may have added where to push, which we
# never do, by git's own transports: no `ext::`, no helper.
_BOOLEAN = re.compile("true|false")
_TRANSPORT = re.compile(
    r"(?:https?|ssh|git|file)://[ -~]+|(?:[\w.-]+@)?[\w.-]+:(?!:)[^:]*|[./][^:]*"
)
_LOCAL_ALLOWED: dict[str, re.Pattern[str] | None] = {
    r"core\.repositoryformatversion": re.compile("0"),
    r"core\.(?:bare|filemode|logallrefupdates|symlinks|ignorecase|precomposeunicode)": _BOOLEAN,
    r"core\.autocrlf": re.compile("false"),
    r"core\.excludesfile": re.compile(""),
    r"commit\.gpgsign": re.compile("false"),
    r"user\.(?:name|email)": None,
    r"remote\..+\.(?:url|pushurl)": _TRANSPORT,
    r"remote\..+\.fetch": None,
    r"branch\..+\.(?:remote|merge|rebase)": None,
}
# Files by which a repository takes settings, attributes, objects or a history from elsewhere.
_LEAD_AWAY = (
    ".gitattributes",
    ".gitmodules",
    ".dvc/.gitattributes",
    "plots/.gitattributes",
    ".git/commondir",
    ".git/config.worktree",
    ".git/gitdir",
    ".git/info/attributes",
    ".git/info/grafts",
    ".git/objects/info/alternates",
    ".git/objects/info/http-alternates",
)


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
        require_own_repository(self.root)

    @classmethod
    def init(cls, root: Path) -> "Git":
        """Make `root` a repository with the workspace's settings; history that exists is kept."""
        root = root.resolve()
        root.mkdir(parents=True, exist_ok=True)
        if (root / ".git").exists():
            require_own_repository(root)
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

    def index_anew(self) -> None:
        """Let the index be what the current commit holds; no file is touched."""
        _git(self.root, "read-tree", "HEAD")

    def is_clean(self) -> bool:
        """Say whether nothing is changed, staged or new; ignored files do not count."""
        return not _git(
            self.root,
            "status",
            "--porcelain",
            "--untracked-files=normal",
            "--ignore-submodules=all",
        )

    def _has_staged(self) -> bool:
        return bool(
            _git(
                self.root,
                "diff",
                "--cached",
                "--name-only",
                "--no-ext-diff",
                "--ignore-submodules=all",
            )
        )


def require_own_repository(root: Path) -> None:
    """Raise ForeignSettingError where a repository may start a program or lead elsewhere.

    That is: where its configuration holds what neither we nor `git init` write, or a file gives it
    attributes, objects or settings of elsewhere. DVC opens the same repository: ask before it does.
    """
    folder = root / ".git"
    if folder.is_symlink() or not folder.is_dir():
        raise ForeignSettingError(
            f"{folder} is no folder: it leads to a repository elsewhere.",
            remedy="restore the workspace from a backup, or clone the repository into its place.",
        )
    for name in _LEAD_AWAY:
        if os.path.lexists(root / name):
            raise ForeignSettingError(
                f"{root / name} would have git do what it says, and no workspace has it.",
                remedy="delete it, once you know who wrote it.",
            )
    for name, value in _local_settings(root):
        forms = [form for known, form in _LOCAL_ALLOWED.items() if re.fullmatch(known, name)]
        if not forms or (forms[0] is not None and not forms[0].fullmatch(value)):
            raise ForeignSettingError(
                f"The setting {name} in {folder / 'config'} is none of a workspace's: it could "
                "start a program or lead elsewhere.",
                remedy="take it out of that file, once you know who wrote it.",
            )


def _local_settings(root: Path) -> list[tuple[str, str]]:
    """Name, its first and last part in lower case, and value of each setting of a repository.

    git reads the file by itself, outside of the repository, and follows no `include`.
    """
    config = root / ".git" / "config"
    if not config.exists():
        return []
    said = _run(Path(root.anchor), "config", "--file", str(config), "--no-includes", "--list", "-z")
    pairs = (entry.partition("\n") for entry in said.split("\0") if entry)
    return [(name, value) for name, _, value in pairs]


def _git(root: Path, *arguments: str, text: str = "", accept: tuple[int, ...] = (0,)) -> str:
    """Run git in `root` with `text` as input; return its output, raise `GitError` if it fails."""
    if (root / ".git").exists():
        require_own_repository(root)
    return _run(root, *arguments, text=text, accept=accept)


def _run(root: Path, *arguments: str, text: str = "", accept: tuple[int, ...] = (0,)) -> str:
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
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(root.parent),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def _one_line(text: str) -> str:
    return " ".join(text.split()) or "no message."
