"""The copies of this workspace that are known: where each was made, and what it has removed too.

A copy holds whoever left after it was made until it removes them itself. So whoever makes one, by
`sift restore` or `sift workspace copied`, writes that down where the copied workspace notes who
leaves, and the copy reads there from then on:

    copies/<id>.copy                     where the copy is, of what and when it was made
    copies/<id>/removed/<departure>      it has removed that, too

Like notes of departures these carry a code made with the secret, which a copy has too.
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from flows.erasure.tombstones.folders import FolderLedger
from flows.erasure.tombstones.places import (
    COPIES,
    beside_backups,
    departures_here,
    link_ledgers,
    links_to,
    noted_in_folders,
    origin_of,
)
from flows.erasure.tombstones.tombstone import DepartureError, file_name_of, seal, unseal
from flows.workspace.home import Home, HomeId, read_home
from flows.workspace.workspace import Workspace
from lineage.times import Utc

_END, _REMOVED = ".copy", "removed"


class Copy(BaseModel):
    """One copy of this workspace, as it was written down when it was made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: HomeId
    path: str
    host: str
    backup_id: str | None
    made_at: Utc


@dataclass(frozen=True)
class KnownCopy:
    """A copy, the file that says so, and the opt-outs since that it has not carried out."""

    copy: Copy
    file: Path
    still_holds: Sequence[str]
    """Requests of this workspace."""

    @property
    def where(self) -> str:
        """The copy, for people."""
        one = self.copy
        by = f"restored from {one.backup_id}" if one.backup_id else "copied"
        return f"{one.path} on {one.host}, {by} at {one.made_at:%Y-%m-%d %H:%M} UTC"


def announce(workspace: Workspace, home: Home) -> None:
    """Write down where the copied workspace notes who leaves that this copy of it lives there.

    Where none of that is within reach it is not told.
    """
    origin = home.origin
    if origin is None:
        return
    copy = Copy(
        id=home.id,
        path=home.path,
        host=platform.node(),
        backup_id=origin.backup_id,
        made_at=origin.at,
    )
    sealed = seal(workspace.root, copy.model_dump_json())
    for ledger in links_to(workspace, origin):
        if ledger.folder.is_dir():
            FolderLedger(ledger.folder / COPIES).write(f"{home.id}{_END}", sealed)


def acknowledge(workspace: Workspace, request_ids: Sequence[str]) -> None:
    """Tell the copied workspace what this copy has removed; where it is away, it is not told.

    A place that came within reach since the copy was made learns of the copy, too.
    """
    home = read_home(workspace.root)
    if home is None or origin_of(workspace) is None:
        return
    announce(workspace, home)
    with workspace.lineage.reader() as reader:
        names = [file_name_of(workspace, reader.request(one)) for one in request_ids]
    for ledger in link_ledgers(workspace):
        own = ledger.folder / COPIES / workspace.identity / _REMOVED
        if ledger.folder.is_dir():
            for name in names:
                FolderLedger(own).write(name, seal(workspace.root, name))


def known_copies(workspace: Workspace) -> list[KnownCopy]:
    """Every copy that was written down where departures are noted, oldest first.

    Raises DepartureError for a record that was altered.
    """
    departures, origin = departures_here(workspace), origin_of(workspace)
    found: dict[str, KnownCopy] = {}
    for folder in [*noted_in_folders(workspace), *beside_backups(workspace)]:
        for path in sorted((folder.folder / COPIES).glob(f"*{_END}")):
            copy = _read(workspace, path)
            is_this = (copy.id, copy.path) == (workspace.identity, str(workspace.root))
            if is_this or (origin and copy.made_at <= origin.at):  # or a copy of its origin
                continue
            removed = FolderLedger(path.with_suffix("") / _REMOVED).names()
            held = [
                request_id
                for request_id, (name, noted_at) in departures.items()
                if noted_at > copy.made_at and name not in removed
            ]
            known = found.get(copy.id)
            if known is None or len(held) < len(known.still_holds):
                found[copy.id] = KnownCopy(copy, path, held)
    return sorted(found.values(), key=lambda one: (one.copy.made_at, one.copy.id))


def _read(workspace: Workspace, path: Path) -> Copy:
    try:
        return Copy.model_validate_json(unseal(workspace.root, path.read_bytes()))
    except (ValueError, ValidationError):
        raise DepartureError(
            f"{path} is not what a copy of this workspace wrote.",
            remedy="delete it once you know which copy it was of.",
        ) from None
