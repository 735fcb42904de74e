"""DVC's settings of a workspace as they stand, read without DVC, whose import takes a second.

They say where a purge deletes and which programs DVC would start, and a copied folder or somebody
else may have brought them. So they are held to a closed list before DVC is given them.
"""

from pathlib import Path
from typing import Any

from configobj import ConfigObj, ConfigObjError  # type: ignore[import-untyped]

from flows.errors import UsageError
from flows.integrations.ownership import ForeignSettingError

_FILES = ("config", "config.local")
CACHE = "cache"
"""Where the cache is, relative to `.dvc`: in the workspace, so that no other one shares it."""
_PUSHED_TO = Path(".sift") / "pushed-to"

_CORE = frozenset(
    {
        "analytics",
        "autostage",
        "check_update",
        "checksum_jobs",
        "hardlink_lock",
        "remote",
        "site_cache_dir",
    }
)
_CACHE = frozenset({"dir", "protected", "slow_link_warning", "type", "verify"})
# Left out: what names a program (`bearer_token_command`, and S3's `configpath`, whose file may hold
# a `credential_process`) and what stores objects not by their hash (`worktree`, `version_aware`).
_REMOTE = frozenset(
    {
        *("url", "jobs", "checksum_jobs", "verify", "timeout", "read_timeout", "connect_timeout"),
        *("endpointurl", "region", "profile", "access_key_id", "secret_access_key"),
        *("session_token", "use_ssl", "ssl_verify", "allow_anonymous_login", "cache_regions"),
        *("sse", "sse_kms_key_id", "sse_customer_algorithm", "sse_customer_key", "acl"),
        *("grant_read", "grant_read_acp", "grant_write_acp", "grant_full_control"),
        *("user", "password", "port", "keyfile", "passphrase", "allow_agent", "gss_auth"),
        *("connection_string", "sas_token", "account_name", "account_key", "tenant_id"),
        *("client_id", "client_secret", "projectname", "max_sessions", "type"),
    }
)


def remote_url(root: Path) -> str:
    """Where the remote is: a URL, or a path relative to `.dvc`. Raises UsageError."""
    return str(_remote(root)["url"])


def remote_endpoint(root: Path) -> str | None:
    """The endpoint of the S3 service that the remote is in, where one is named."""
    endpoint = _remote(root).get("endpointurl")
    return None if endpoint is None else str(endpoint)


def remote_folder(root: Path) -> Path | None:
    """The remote's folder; None where it is no folder of this machine."""
    url = remote_url(root)
    return None if "://" in url else (root / ".dvc" / url).resolve()


def last_pushed_to(root: Path) -> str | None:
    """The url of the remote that the workspace pushed to last, as DVC reads it; None: to none."""
    note = root / _PUSHED_TO
    return note.read_text(encoding="utf-8") if note.is_file() else None


def note_pushed_to(root: Path, url: str | None) -> None:
    """Write down that the workspace has pushed to this remote; None: to none yet."""
    if url is None:
        (root / _PUSHED_TO).unlink(missing_ok=True)
    else:
        (root / _PUSHED_TO).write_text(url, encoding="utf-8")


def require_own_settings(root: Path) -> None:
    """Raise ForeignSettingError where a setting is not one that a workspace has."""
    settings = _read(root)
    for section, values in settings.items():
        kind = section.partition(" ")[0]
        known = {"core": _CORE, "cache": _CACHE, "remote": _REMOTE}.get(kind)
        for name in values if known is not None else [""]:
            if known is None or name not in known:
                raise _foreign(root, section, name)
    cache = settings.get("cache", {}).get("dir", CACHE)
    if cache != CACHE:
        raise ForeignSettingError(
            f"DVC's cache is {cache}, not the one of {root}: what is destroyed there may be needed "
            "by another workspace.",
            remedy="run `dvc cache dir --unset` and `dvc cache dir --local --unset` there, then "
            "`dvc fetch`.",
        )


def _remote(root: Path) -> dict[str, Any]:
    config = _read(root)
    name = config.get("core", {}).get("remote")
    remote = config.get(f'remote "{name}"', {})
    if "url" not in remote:
        raise UsageError(
            f"{root / '.dvc' / 'config'} names no remote.",
            remedy="restore it with `git checkout HEAD -- .dvc/config`.",
        )
    found: dict[str, Any] = remote
    return found


def _read(root: Path) -> dict[str, Any]:
    config = ConfigObj(encoding="utf-8", default_encoding="utf-8")
    for name in _FILES:
        path = root / ".dvc" / name
        if path.is_file():
            try:
                config.merge(ConfigObj(str(path), encoding="utf-8", default_encoding="utf-8"))
            except (ConfigObjError, UnicodeError) as error:
                raise UsageError(
                    f"{path} is no DVC configuration: {' '.join(str(error).split())}",
                    remedy=f"restore it with `git checkout HEAD -- .dvc/{name}`, or delete what is "
                    "wrong in it.",
                ) from error
    found: dict[str, Any] = config.dict()
    return found


def _foreign(root: Path, section: str, name: str) -> ForeignSettingError:
    setting = f"[{section}] {name}".strip()
    return ForeignSettingError(
        f"DVC's settings of {root} hold {setting}, which no workspace has: it could start a "
        "program or lead elsewhere.",
        remedy="take it out of .dvc/config or .dvc/config.local, once you know who wrote it.",
    )
