"""The base model of a workspace: made once from params.yaml, before any contributor."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import sift_core
from flows.errors import UsageError
from flows.progress import tracked
from flows.readers import read_rows
from flows.rows import PUBLIC, parse_row, to_example
from flows.settings import WarmStartSettings
from flows.workspace import Workspace
from lineage import BaseModelRecord
from sift_core import WarmStart

_WITHOUT_CHOICE = {"dtype": "float32", "shard_size": None}
_ORIGIN = "base.json"
"""Beside `base/`: what it was made from, so that it is made again only when that changes. Not in
the folder: the same weights have the same id wherever they were made from."""


def ensure_base(workspace: Workspace) -> None:
    """Make `base/` unless it is there already, made from the same settings.

    Raises ModelError, DataError, UsageError; `base/` is then as it was.
    """
    origin = _origin(workspace)
    if _stored_origin(workspace) == origin:
        return
    settings = workspace.settings.base
    torch.set_num_threads(workspace.settings.finetune.threads)
    with workspace.scratch("base") as scratch:
        for folder in tracked("Making the base", [scratch / "base"], 1):
            sift_core.prepare_base(
                settings.source,
                folder,
                settings.labels,
                settings.seed,
                settings.max_length,
                _warm_start(workspace),
                settings.dtype,
                settings.shard_size,
            )
        if workspace.base.exists():
            workspace.base.rename(scratch / "replaced")
        (scratch / "base").rename(workspace.base)
    text = json.dumps(origin, indent=2, sort_keys=True) + "\n"
    sift_core.write_atomically(workspace.root / _ORIGIN, text.encode())


def load_base(workspace: Workspace) -> sift_core.BaseModel:
    """Load the base model, to finetune it. Raises ModelError, UsageError (`require_base`)."""
    require_base(workspace)
    torch.set_num_threads(workspace.settings.finetune.threads)
    return workspace.kept_base.model(workspace, streamed=False)


def scoring_base(workspace: Workspace) -> sift_core.BaseModel:
    """The base model to score with: its weights stay on disk where `base.streamed` says so.

    Raises ModelError, UsageError (`require_base`).
    """
    require_base(workspace)
    torch.set_num_threads(workspace.settings.finetune.threads)
    return workspace.kept_base.model(workspace, streamed=workspace.settings.base.streamed)


def require_base(workspace: Workspace) -> None:
    """Raise UsageError where the base is missing or params.yaml asks for another one.

    With its labels in another order, the same weights would mean something else.
    """
    origin = _stored_origin(workspace)
    if origin is None or origin != _origin(workspace):
        found = "is missing" if origin is None else "was made from other settings than params.yaml"
        raise UsageError(f"{workspace.base} {found}.", remedy="run `sift build`.")


def base_id(workspace: Workspace) -> str:
    """The SHA-256 of `base/`, read once while its files stay as they are."""
    return workspace.kept_base.id(workspace)


_Files = tuple[tuple[str, int, int, int], ...]
"""Name, size, time of change and inode of every file: whether one was rewritten since."""


class KeptBase:
    """The base model in memory, loaded once however many shards and steps of a build ask for it.

    A workspace object owns one, so the model lives no longer than that. It is given out again only
    while the files of `base/` and every setting that shapes it are the same; otherwise it is loaded
    anew. Whoever finetunes or serves with it leaves θ0 in it (`sift_core.finetune`,
    `BaseModel.serving`).
    """

    def __init__(self) -> None:
        self._id: tuple[_Files, str] | None = None
        self._model: tuple[Any, sift_core.BaseModel] | None = None

    def id(self, workspace: Workspace) -> str:
        """The id of the base model as it is on disk now."""
        files = _files(workspace.base)
        if self._id is None or self._id[0] != files:
            self._id = (files, sift_core.folder_sha256(workspace.base))
        return self._id[1]

    def model(self, workspace: Workspace, *, streamed: bool) -> sift_core.BaseModel:
        """The base model as it is on disk now."""
        settings = workspace.settings
        choices = (settings.base.labels, settings.finetune.train_only, settings.finetune.device)
        identity = (self.id(workspace), choices, streamed)
        if self._model is None or self._model[0] != identity:
            self._model = None  # two at a time may not fit
            load = sift_core.stream_base if streamed else sift_core.load_base
            loaded = load(workspace.base, *choices, base_id=identity[0])
            loaded.scored_at_once = settings.base.scored_at_once
            self._model = (identity, loaded)
        return self._model[1]


def _files(folder: Path) -> _Files:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple((path.as_posix(), *_change_of(path)) for path in paths)


def _change_of(path: Path) -> tuple[int, int, int]:
    about = path.stat()
    return about.st_size, about.st_mtime_ns, about.st_ino


def base_record(workspace: Workspace, base: sift_core.BaseModel) -> BaseModelRecord:
    """What lineage keeps of the base model, and of the public data that warmed it up."""
    origin = _origin(workspace)
    return BaseModelRecord(
        base_id=base.base_id,
        source=origin["source"],
        entries=base.entries,
        trainable_entries=base.trainable_entries,
        warm_start=origin["warm_start"],
        created_at=datetime.now(UTC),
    )


def _origin(workspace: Workspace) -> dict[str, Any]:
    settings = workspace.settings.base
    warm_start = settings.warm_start
    chosen = {"dtype": settings.dtype, "shard_size": settings.shard_size}
    return {
        # Left out where they are what they were before there was a choice: the same base then.
        **{name: value for name, value in chosen.items() if value != _WITHOUT_CHOICE[name]},
        "source": settings.source,
        "labels": list(settings.labels),
        "seed": settings.seed,
        "max_length": settings.max_length,
        "warm_start": warm_start
        and {
            "name": warm_start.name,
            "licence": warm_start.licence,
            "sha256": sift_core.sha256_of(_public_file(workspace, warm_start).read_bytes()),
            "epochs": warm_start.epochs,
            "learning_rate": warm_start.learning_rate,
        },
    }


def _stored_origin(workspace: Workspace) -> dict[str, Any] | None:
    path = workspace.root / _ORIGIN
    if not path.is_file() or not workspace.base.is_dir():
        return None
    origin: dict[str, Any] = json.loads(path.read_text())
    return origin


def _warm_start(workspace: Workspace) -> WarmStart | None:
    settings = workspace.settings.base.warm_start
    if settings is None:
        return None
    examples = []
    for where, fields in read_rows(_public_file(workspace, settings), PUBLIC):
        try:
            row = parse_row(fields, PUBLIC)
        except ValueError as error:
            raise UsageError(f"{where}: {error}.", remedy="mend this line.") from None
        examples.append(to_example(row.stored()))
    return WarmStart(examples, settings.epochs, settings.learning_rate)


def _public_file(workspace: Workspace, settings: WarmStartSettings) -> Path:
    path = (workspace.root / settings.data).resolve()
    if not path.is_relative_to(workspace.root) or not path.is_file():
        raise UsageError(
            f"base.warm_start.data {settings.data!r} is not a file of the workspace.",
            remedy="put the public data into the workspace and name it by a relative path.",
        )
    return path
