"""DVC's own settings of a workspace: `.dvc/config`, which is in git, and `.dvc/config.local`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configobj import ConfigObj  # type: ignore[import-untyped]

from flows.integrations.dvc.border import translated

_REMOTE = "storage"


@dataclass(frozen=True)
class Remote:
    """Where a workspace pushes to: a folder or a URL, and the endpoint of an S3 service.

    Credentials are not here: S3's clients find them in the environment or on the machine.
    """

    url: str
    endpoint: str | None = None


def configure(dvc_dir: Path, remote: Remote) -> None:
    """Set what every workspace needs, whatever the user's or the machine's DVC settings say."""
    settings = {
        "core": {
            "analytics": "false",
            "autostage": "false",
            "check_update": "false",
            "remote": _REMOTE,
        },
        # Links would make workspace files read-only and the same bytes as the protected cache.
        "cache": {"dir": "cache", "type": "reflink,copy"},
    }
    with _edited(dvc_dir / "config") as config:
        config.merge(settings)
    set_remote(dvc_dir, remote)


def set_remote(dvc_dir: Path, remote: Remote) -> None:
    """Push to this remote from now on; what an earlier one holds stays there."""
    url = remote.url
    if "://" not in url:
        # A remote inside the workspace is stored as a relative path and moves with it.
        inside = Path(url).is_relative_to(dvc_dir.parent)
        url = os.path.relpath(url, dvc_dir) if inside else url
    section = f'remote "{_REMOTE}"'
    with _edited(dvc_dir / "config") as config:
        config.setdefault("core", {})["remote"] = _REMOTE
        own = config.setdefault(section, {})
        own["url"] = url
        if remote.endpoint is None:
            own.pop("endpointurl", None)
        else:
            own["endpointurl"] = remote.endpoint


def keep_inside(dvc_dir: Path, site: str) -> None:
    """Let the `dvc` command, too, keep its notes on files here, not in a machine-wide folder.

    DVC knows only an absolute path for this, so it is written anew where a workspace has moved.
    """
    with _edited(dvc_dir / "config.local") as config:
        config.setdefault("core", {})["site_cache_dir"] = site


@contextmanager
def _edited(path: Path) -> Iterator[Any]:
    """Give a DVC configuration file to change; it is written, whole or not at all, if it changed.

    DVC's own writer knows only ASCII, and a workspace may lie in any folder.
    """
    with translated(path.parent.parent, f"use its settings in {path.name}"):
        config = ConfigObj(str(path), encoding="utf-8", default_encoding="utf-8")
        config.indent_type = "    "
        before = config.dict()
        yield config
        if config.dict() != before:
            new = path.with_name(path.name + ".new")
            with new.open("wb") as file:
                config.write(file)
            new.replace(path)
