"""The places where departures are noted, and what stands there that this workspace does not know.

Noted are they in the workspace itself (for a lineage store that alone is restored), in the DVC
remote, in the folder `policy.ledger` names, and beside every backup that exists. Whichever of them
outlives what was lost tells.

A copy (`flows/workspace/home.py`) reads what the workspace that it was made of notes, and writes
nothing there: its own opt-outs are not that workspace's. They stand in a folder of its own.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from flows.erasure.tombstones.folders import FOLDER, FolderLedger, Ledger, LedgerError, RemoteLedger
from flows.erasure.tombstones.tombstone import (
    Departure,
    DepartureError,
    departure_of,
    file_name_of,
    from_bytes,
    keyed_records,
    own_folder,
    to_bytes,
)
from flows.errors import FlowError
from flows.integrations.dvc.settings import remote_folder
from flows.workspace.home import Origin, read_home
from flows.workspace.workspace import Workspace
from lineage import BackupRecord
from lineage.reader import Reader

COPIES = "copies"
"""A folder in each place, for what copies of the workspace write there."""
BESIDE = ".departures"
"""What the folder beside a backup is called: the backup's name, then this."""


class BroughtBackError(FlowError):
    """Contributors who had left are here again: an older workspace was restored."""


def ledgers(workspace: Workspace) -> list[Ledger]:
    """The places that must be written to: the workspace's own, the remote, and `policy.ledger`."""
    found: list[Ledger] = [FolderLedger(workspace.root / ".sift" / FOLDER), _remote(workspace)]
    if (shared := _shared(workspace)) is not None:
        origin = origin_of(workspace)
        own = shared.folder / COPIES / workspace.identity if origin else shared.folder
        found.append(FolderLedger(own, within=shared.within))
    return found


def link_ledgers(workspace: Workspace) -> list[FolderLedger]:
    """Where the workspace that this one is a copy of notes who leaves; only read, never written."""
    origin = origin_of(workspace)
    return links_to(workspace, origin) if origin else []


def links_to(workspace: Workspace, origin: Origin) -> list[FolderLedger]:
    """Where what `workspace` was made of notes who leaves."""
    found = [FolderLedger(Path(link), only_to_write=True) for link in origin.links]
    shared = _shared(workspace)
    # Before the first backup or departure nobody has made the folder there, and nobody can say
    # whose it is.
    if shared is not None and shared.folder.is_dir():
        found.append(FolderLedger(shared.folder, only_to_write=True))
    return found


def origin_of(workspace: Workspace) -> Origin | None:
    """What this workspace is a copy of; None where it is none, or took that one's place."""
    home = read_home(workspace.root)
    if home is None or home.origin is None or home.origin.home_id == home.id:
        return None
    return home.origin


def _shared(workspace: Workspace) -> FolderLedger | None:
    """The folder that `policy.ledger` names, where it is named."""
    if workspace.settings.policy.ledger is None:
        return None
    path = workspace.root / Path(workspace.settings.policy.ledger).expanduser()
    return FolderLedger(path / own_folder(workspace.root), within=path)


def noted_in_folders(workspace: Workspace) -> list[FolderLedger]:
    """Those of our places that are folders of this machine."""
    return [one for one in ledgers(workspace) if isinstance(one, FolderLedger)]


def beside(backup: str) -> Path:
    """The folder beside a backup."""
    return Path(backup + BESIDE)


def make_beside(workspace: Workspace, backup: str) -> None:
    """Make the place beside a backup; its folder says, to us, whose backup it is.

    So does the one in `policy.ledger`, by which a copy of the backup knows it.
    """
    beside(backup).mkdir(mode=0o700)
    (beside(backup) / own_folder(workspace.root)).mkdir(mode=0o700)
    shared = _shared(workspace)
    if shared is not None and origin_of(workspace) is None:
        shared.folder.mkdir(exist_ok=True)


def own_backups(workspace: Workspace) -> list[BackupRecord]:
    """The backups that were made of this workspace, and not of the one that it is a copy of."""
    origin = origin_of(workspace)
    with workspace.lineage.reader() as reader:
        return [
            row for row in reader.process.backups() if origin is None or row.made_at > origin.at
        ]


def beside_backups(workspace: Workspace) -> list[FolderLedger]:
    """The places beside all our backups in every folder that we know one in.

    Also of those that lineage does not know, since it was restored from an older one, and of
    destroyed ones that a copy was made of.
    """
    folders = {Path(row.place).parent for row in own_backups(workspace)}
    own = own_folder(workspace.root)
    return [
        FolderLedger(path / own, within=path)
        for folder in sorted(folders)
        for path in sorted(folder.glob(f"*{BESIDE}"))
        if (path / own).is_dir()
    ]


def note(workspace: Workspace, request_ids: Sequence[str]) -> list[FlowError]:
    """Write down who leaves, wherever that can be; the errors of the places that must know.

    Run before anything is destroyed, and again: what is written stays. A backup that is out of
    reach is not an error: the report says that it was not told.
    """
    notes = [departure_of(workspace, name) for name in request_ids]
    failures: list[FlowError] = []
    for ledger in ledgers(workspace):
        try:
            _write(workspace, ledger, notes)
        except FlowError as error:
            failures.append(error)
        except OSError as error:
            failures.append(_unwritable(ledger, error))
    for copy in beside_backups(workspace):
        with suppress(OSError):  # out of reach: `was_told` says no, and the report with it
            _write(workspace, copy, notes)
    return failures


def was_told(workspace: Workspace, backup: str, departure: Departure) -> bool:
    """Whether a departure is noted beside a backup."""
    return (beside(backup) / own_folder(workspace.root) / departure.file_name).is_file()


def unknown(workspace: Workspace, altered: list[DepartureError] | None = None) -> list[Departure]:
    """Departures that are noted somewhere and that this workspace has not carried out, by receipt.

    Raises LedgerError or DvcError for a place that cannot be reached, and DepartureError for a note
    that was altered; where a list is given for these, they go there and the others are told.
    """
    # Once it is removed here, the request itself goes on to its end.
    own = {name for name, _ in departures_here(workspace).values()}
    notes: dict[str, Departure] = {}
    for ledger in [*ledgers(workspace), *link_ledgers(workspace)]:
        for name in ledger.names() - own - notes.keys():
            try:
                notes[name] = from_bytes(workspace, ledger.read(name), f"{name} in {ledger.where}")
            except DepartureError as error:
                if altered is None:
                    raise
                altered.append(error)
    with workspace.lineage.reader() as reader:
        found = [
            one
            for one in notes.values()
            if one.records is None or withdrawn_again(workspace, reader, one)
        ]
    return sorted(found, key=lambda one: (one.received_at, one.contributor_key))


def departures_here(workspace: Workspace) -> dict[str, tuple[str, datetime]]:
    """What was removed here: request → the name of its note, and when it was removed."""
    with workspace.lineage.reader() as reader:
        return {
            request.request_id: (file_name_of(workspace, request), step.done_at)
            for request in reader.requests()
            for step in reader.steps(request.request_id)
            if step.step == "removed"
        }


def require_nobody_back(workspace: Workspace) -> None:
    """Raise BroughtBackError where somebody is in the model who had left."""
    back = unknown(workspace)
    if back:
        names = ", ".join(departure.request_id for departure in back)
        raise BroughtBackError(
            f"This workspace is older than opt-outs that were carried out ({names}): it holds "
            "again what they had destroyed.",
            remedy="run `sift opt-out run`: it carries them out again.",
        )


def withdrawn_again(workspace: Workspace, reader: Reader, departure: Departure) -> list[str]:
    """The contributor's records here that the departure withdrew."""
    live = tuple(sorted(reader.live_records(departure.contributor_key)))
    keyed = keyed_records(workspace, live) or ()
    withdrawn = set(departure.records or ())
    return [record for record, code in zip(live, keyed, strict=True) if code in withdrawn]


def _write(workspace: Workspace, ledger: Ledger, notes: Sequence[Departure]) -> None:
    there = ledger.names()
    for one in notes:
        if one.file_name not in there:
            ledger.write(one.file_name, to_bytes(workspace, one))


def _remote(workspace: Workspace) -> Ledger:
    folder = remote_folder(workspace.root)
    if folder is None:
        return RemoteLedger(workspace)
    own = folder / FOLDER / own_folder(workspace.root)
    if not folder.is_relative_to(workspace.root):
        return FolderLedger(own, within=folder)
    # DVC makes it at the first push. Gone after that, it is away, and must not be made anew.
    pushed = (workspace.root / ".sift" / "pushed-to").is_file()
    return FolderLedger(own, within=folder if pushed else None, only_to_write=True)


def _unwritable(ledger: Ledger, error: OSError) -> LedgerError:
    return LedgerError(
        f"Departures cannot be noted in {ledger.where}: {error.strerror or error}.",
        remedy="make it writable, then run the same command again.",
    )
