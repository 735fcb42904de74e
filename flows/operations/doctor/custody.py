"""What the workspace holds in trust: keys, permissions, leftovers, who has left, backups."""

import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from flows.erasure.status import still_served, still_served_in_words
from flows.erasure.tombstones.copies import known_copies
from flows.erasure.tombstones.places import link_ledgers, origin_of, unknown
from flows.operations.doctor.diagnosis import Look, Status
from flows.workspace.identity import read_secret, secret_path
from flows.workspace.keyring import Keys
from flows.workspace.server_key import key_path
from flows.workspace.store_paths import require_own_places
from flows.workspace.workspace import UNFINISHED, Workspace
from lineage.certificates.envelope import EvidenceError, KeyFileError

Found = Iterator[tuple[Status, str, str]]


def _keys(workspace: Workspace) -> Found:
    """All there, readable by their owner alone, and nowhere in git."""
    wrong = False
    secret = secret_path(workspace.root)
    read_secret(workspace.root)
    servers = key_path(workspace.root)
    private = [secret, *(workspace.root / ".sift" / "keys").glob("*.pem")]
    for path in [*private, *filter(Path.exists, [servers])]:
        if path.stat().st_mode & 0o077:
            wrong = True
            yield (
                "failed",
                f"{path.name} can be read by others (mode {path.stat().st_mode & 0o777:o}).",
                f"run `chmod 600 {path}`; if others may have read it, "
                + (
                    "end `sift up`, delete it, start it again."
                    if path == servers
                    else "`sift keys rotate`."
                ),
            )
    if tracked := workspace.git.tracked(".sift"):
        wrong = True
        yield (
            "failed",
            f"git tracks {tracked[0]}, and whoever has the repository has it.",
            f"`git rm --cached {tracked[0]}`, `sift keys rotate`, and count the secret as known.",
        )
    if not wrong:
        try:
            Keys(workspace.root).model_key_file()
        except (KeyFileError, EvidenceError) as error:
            yield "failed", error.facts, error.remedy
            return
        yield "ok", "secret, signing key and model key are there and private.", ""


def _permissions(workspace: Workspace) -> Found:
    root = workspace.root
    wanted = [root, workspace.data, workspace.masks, workspace.merge, root / ".sift", root / ".git"]
    wanted += [root / ".dvc", root / "params.yaml"]
    mode = root.stat().st_mode
    closed = [path for path in wanted if path.exists() and not os.access(path, os.W_OK)]
    if gone := [path for path in wanted if not path.exists()]:
        yield "failed", f"{gone[0].name} is missing.", "restore it from a backup."
    if closed:
        yield (
            "failed",
            f"{closed[0]} is not writable for you.",
            "run this as the workspace's owner, or make it writable for you.",
        )
    if mode & 0o002:
        yield (
            "warning",
            "everybody on this machine may write into the workspace.",
            f"run `chmod o-w {root}`.",
        )
    if not gone and not closed and not mode & 0o002:
        yield "ok", "writable for you, and not for everybody.", ""


def _leftovers(workspace: Workspace) -> Found:
    """What a killed run left: rubbish that may hold a contributor's bytes, half-done requests."""
    lock = FileLock(workspace.root / ".sift" / "lock", timeout=0)
    try:
        with lock:
            left = [
                *workspace.temporary.glob("*"),
                *(path for path in _unfinished(workspace)),
            ]
    except Timeout:
        yield "ok", "another command is at work; what it writes is no leftover.", ""
        return
    git_lock = workspace.root / ".git" / "index.lock"
    if git_lock.exists():
        yield (
            "failed",
            "a killed git left .git/index.lock.",
            f"once no git runs here: `rm {git_lock}`.",
        )
    if left:
        yield (
            "warning",
            f"{len(left)} unfinished files of a killed run, first {left[0].name}.",
            "any command that changes the workspace sweeps them: run `sift build`.",
        )
    served = still_served(workspace)
    if served:
        yield ("failed", *still_served_in_words(served))
    half = [name for name in _half_done(workspace) if name not in served]
    if half:
        yield (
            "warning",
            f"{', '.join(half)} began to remove and did not end.",
            "run `sift opt-out run`.",
        )
    if not left and not half and not served and not git_lock.exists():
        yield "ok", "none.", ""


def _unfinished(workspace: Workspace) -> Iterator[Path]:
    folders = (workspace.root, workspace.data, *workspace.vector_folders, workspace.masks)
    for folder in (*folders, workspace.merge, *workspace.reports.glob("*")):
        yield from folder.glob(UNFINISHED)
    yield from workspace.root.glob(".lineage.duckdb.rewrite*")


def _half_done(workspace: Workspace) -> list[str]:
    with workspace.lineage.reader() as reader:
        return [
            row.request_id
            for row in reader.requests()
            if reader.next_step(row.request_id) is not None
            and any(step.step == "removed" for step in reader.steps(row.request_id))
        ]


def _home(workspace: Workspace) -> Found:
    """It lives where it says, and everything that its stores name is its own."""
    require_own_places(workspace.root, workspace.settings.model.name, workspace.identity)
    origin = origin_of(workspace)
    of = f", a copy of {origin.path}" if origin else ""
    yield "ok", f"lives at {workspace.root}{of}; no store of it names another place.", ""


def _departures(workspace: Workspace) -> Found:
    """Whether somebody is back who had left, or left the workspace that this is a copy of."""
    back = unknown(workspace)
    origin = origin_of(workspace)
    told_by = [ledger.where for ledger in link_ledgers(workspace) if ledger.folder.is_dir()]
    if back:
        names = ", ".join(one.request_id for one in back)
        yield (
            "failed",
            f"this workspace is older than opt-outs that were carried out: {names}.",
            "run `sift opt-out run`.",
        )
    elif origin is None:
        yield "ok", "everybody who left is gone.", ""
    elif told_by:
        yield "ok", f"everybody is gone who left {origin.path}, by what {told_by[0]} tells.", ""
    else:
        yield (
            "warning",
            f"nobody tells who has left {origin.path} since this copy was made of it at "
            f"{origin.at:%Y-%m-%d %H:%M} UTC: they may still be in here.",
            "let policy.ledger name a folder that both reach"
            + "".join(f", or connect {link}" for link in origin.links[:1])
            + "; until then ask there, and file their requests here too.",
        )


def _copies(workspace: Workspace) -> Found:
    """Copies that hold somebody who left here, as far as they are known."""
    copies = known_copies(workspace)
    behind = [one for one in copies if one.still_holds]
    for one in behind:
        yield (
            "warning",
            f"{one.where}, still holds what {', '.join(one.still_holds)} destroyed here.",
            f"there: `sift opt-out run --workspace {one.copy.path}`; once the copy is gone, delete "
            f"{one.file}.",
        )
    if not behind:
        known = f"{len(copies)} known, none holds who left" if copies else "none is known"
        yield "ok", f"{known}. Copies that nobody told this workspace of are not known.", ""


def _backups(workspace: Workspace) -> Found:
    with workspace.lineage.reader() as reader:
        rows = [row for row in reader.process.backups() if row.destroyed_at is None]
    lost = [row for row in rows if Path(row.place).parent.is_dir() and not Path(row.place).exists()]
    for row in lost:
        yield (
            "warning",
            f"{row.backup_id} is not at {row.place} any more; whether it was restored elsewhere, "
            "nobody told.",
            f"once you know that it is gone: `sift backup destroy {row.backup_id}`.",
        )
    if not lost:
        newest = f"the newest of {rows[-1].made_at:%Y-%m-%d %H:%M} UTC" if rows else "none was made"
        yield "ok", f"{len(rows)} known, {newest}.", ""


CUSTODY: dict[str, Look] = {
    "keys": _keys,
    "permissions": _permissions,
    "leftovers": _leftovers,
    "home": _home,
    "departures": _departures,
    "backups": _backups,
    "copies": _copies,
}
