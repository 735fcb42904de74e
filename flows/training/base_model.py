"""The base model of a workspace: made once from params.yaml, before any contributor."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sift_bytes
import sift_core
from flows.data.rows import PUBLIC, parse_row, to_example
from flows.errors import FlowError, UsageError
from flows.progress import tracked
from flows.training.method import method_settings, parameterization, reading
from flows.workspace.settings import BaseSettings, MethodSettings, WarmStartSettings
from flows.workspace.workspace import Workspace
from lineage import BaseModelRecord
from sift_core.base_folder import is_local
from sift_core.clock import DATE, reads_clock

if TYPE_CHECKING:  # whose import takes seconds, and not everybody loads a model
    from transformers import PreTrainedTokenizerBase

    from sift_core import WarmStart

_ID = "base_id"
"""In `base.json`: the SHA-256 of the folder as it was made."""
_COMMIT = "commit"
"""In `base.json`: at which commit a Hugging Face id was fetched."""
_CLOCK = "chat_template_clock"
"""In `base.json` where the chat template prints a date: the one that it prints, always."""

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_WITHOUT_CHOICE = {"dtype": "float32", "shard_size": None, "revision": None}
_ORIGIN = "base.json"
"""Beside `base/`: what it was made from, so that it is made again only when that changes. Not in
the folder: the same weights have the same id wherever they were made from."""


class AlteredBaseError(FlowError):
    """The base model is not the bytes that were made."""


def ensure_base(workspace: Workspace) -> None:
    """Make `base/` unless it is there already, made from the same settings.

    Before it takes its place it is tried: encoding, training, scoring and serving of a made-up row,
    so a base that cannot work is refused here and not in the middle of a build. Raises ModelError,
    DataError, UsageError; `base/` is then as it was. Raises AlteredBaseError where it is no more
    what was made: a merge would begin anew on it.
    """
    origin = _origin(workspace)
    if _stored_origin(workspace) == origin:
        _require_unaltered(workspace)
        return
    settings = workspace.settings.base
    sift_core.use_threads(workspace.settings.finetune.threads)
    with workspace.scratch("base") as scratch:
        for folder in tracked("Making the base", [scratch / "base"], 1):
            commit = sift_core.prepare_base(
                settings.source,
                folder,
                settings.labels,
                settings.seed,
                settings.max_length,
                _warm_start(workspace),
                settings.dtype,
                settings.shard_size,
                settings.revision,
            )
        own = _try_out(workspace, scratch / "base")
        if workspace.base.exists():
            workspace.base.rename(scratch / "replaced")
        (scratch / "base").rename(workspace.base)
    made = {_ID: base_id(workspace)}
    if commit is not None:
        made[_COMMIT] = commit
    if reads_clock(own.chat_template):
        made[_CLOCK] = DATE.isoformat()
    text = json.dumps({**origin, **made}, indent=2, sort_keys=True) + "\n"
    sift_bytes.write_atomically(workspace.root / _ORIGIN, text.encode())


def _require_unaltered(workspace: Workspace) -> None:
    made = json.loads((workspace.root / _ORIGIN).read_text()).get(_ID)
    if made is not None and made != base_id(workspace):  # none: of before it was written down
        raise AlteredBaseError(
            f"{workspace.base} is not what {_ORIGIN} says was made: SHA-256 {made[:16]}….",
            remedy="restore it with `dvc checkout base`; or, where there never was a build, delete "
            f"{workspace.base} and run `sift build`, which makes it.",
        )


def _try_out(workspace: Workspace, folder: Path) -> PreTrainedTokenizerBase:
    """Do once with a new base all that this workspace will do with it; its tokenizer."""
    settings = workspace.settings
    # Where others finetune, what is here may have neither their device nor their memory.
    trains = settings.build.pool is None and not settings.base.streamed
    device = settings.finetune.device if trains else "cpu"
    load = sift_core.stream_base if settings.base.streamed else sift_core.load_base
    base = load(folder, settings.base.labels, parameterization(settings), device)
    if (tried := (base.base_id, settings.method, trains)) not in _TRIED:
        wanted = method_settings(settings.finetune) if trains else None
        sift_core.try_out(base, reading(settings.method), wanted)
        from flows.serving.tryout import try_serving  # MLflow takes seconds to import

        try_serving(settings, base)
        _TRIED.add(tried)
    return base.tokenizer


_TRIED: set[tuple[str, MethodSettings, bool]] = set()
"""What this process has tried and found to work: the same files will work again."""


def tokenizer(workspace: Workspace) -> PreTrainedTokenizerBase:
    """The tokenizer of the base model, without its weights. Raises ModelError, UsageError."""
    require_base(workspace)
    return workspace.in_memory(KeptBase).tokenizer(workspace)


def load_base(workspace: Workspace) -> sift_core.BaseModel:
    """Load the base model, to finetune it. Raises ModelError, UsageError (`require_base`)."""
    require_base(workspace)
    sift_core.use_threads(workspace.settings.finetune.threads)
    return workspace.in_memory(KeptBase).model(workspace, streamed=False)


def scoring_base(workspace: Workspace) -> sift_core.BaseModel:
    """The base model to score with: its weights stay on disk where `base.streamed` says so.

    Raises ModelError, UsageError (`require_base`).
    """
    require_base(workspace)
    sift_core.use_threads(workspace.settings.finetune.threads)
    return workspace.in_memory(KeptBase).model(workspace, streamed=workspace.settings.base.streamed)


def require_base(workspace: Workspace) -> None:
    """Raise UsageError where the base is missing or params.yaml asks for another one.

    With its labels in another order, the same weights would mean something else.
    """
    origin = _stored_origin(workspace)
    if origin is not None and origin == _origin(workspace):
        return
    there, named = workspace.base.is_dir(), (workspace.root / _ORIGIN).is_file()
    if origin is not None:
        found, back = "was made from other settings than params.yaml", "set `base` there back"
    elif there:
        found = f"is there, and {_ORIGIN}, which says what it was made from, is not"
        back = f"restore that with `git checkout HEAD -- {_ORIGIN}`"
    else:
        found, back = "is missing", "restore it with `dvc checkout base`" if named else ""
    make = "run `sift build`, which makes it."
    raise UsageError(f"{workspace.base} {found}.", remedy=f"{back}, or {make}" if back else make)


def base_id(workspace: Workspace) -> str:
    """The SHA-256 of `base/`, read once while its files stay as they are."""
    return workspace.in_memory(KeptBase).id(workspace)


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
        self._tokenizer: tuple[str, PreTrainedTokenizerBase] | None = None

    def id(self, workspace: Workspace) -> str:
        """The id of the base model as it is on disk now."""
        files = _files(workspace.base)
        if self._id is None or self._id[0] != files:
            self._id = (files, sift_core.folder_sha256(workspace.base))
        return self._id[1]

    def tokenizer(self, workspace: Workspace) -> PreTrainedTokenizerBase:
        """The tokenizer of the base model as it is on disk now."""
        identity = self.id(workspace)
        if self._tokenizer is None or self._tokenizer[0] != identity:
            self._tokenizer = (identity, sift_core.load_tokenizer(workspace.base))
        return self._tokenizer[1]

    def model(self, workspace: Workspace, *, streamed: bool) -> sift_core.BaseModel:
        """The base model as it is on disk now."""
        settings = workspace.settings
        choices = (settings.base.labels, parameterization(settings), settings.finetune.device)
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
        revision=commit(workspace),
    )


def hub_id(settings: BaseSettings) -> str | None:
    """The Hugging Face id of the base model; None where it was made from files."""
    own = settings.source
    return own if _HUB_ID.fullmatch(own) and not is_local(own) else None


def commit(workspace: Workspace) -> str | None:
    """At which commit the base was fetched; None where it was made from files."""
    origin: dict[str, str | None] = json.loads((workspace.root / _ORIGIN).read_text())
    return origin.get(_COMMIT)


def _origin(workspace: Workspace) -> dict[str, Any]:
    settings = workspace.settings.base
    warm_start = settings.warm_start
    chosen = {name: getattr(settings, name) for name in _WITHOUT_CHOICE}
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
            "sha256": sift_bytes.sha256_of(_public_file(workspace, warm_start).read_bytes()),
            "epochs": warm_start.epochs,
            "learning_rate": warm_start.learning_rate,
        },
    }


def _stored_origin(workspace: Workspace) -> dict[str, Any] | None:
    path = workspace.root / _ORIGIN
    if not path.is_file() or not workspace.base.is_dir():
        return None
    origin: dict[str, Any] = json.loads(path.read_text())
    origin.pop(_ID, None)
    origin.pop(_COMMIT, None)
    if origin.pop(_CLOCK, DATE.isoformat()) != DATE.isoformat():
        return {}  # its chat template printed another date: another base
    return origin


def _warm_start(workspace: Workspace) -> WarmStart | None:
    settings = workspace.settings.base.warm_start
    if settings is None:
        return None
    from flows.data.readers import read_rows  # Arrow takes half a second to import

    examples = []
    for where, fields in read_rows(_public_file(workspace, settings), PUBLIC):
        try:
            row = parse_row(fields, PUBLIC)
        except ValueError as error:
            raise UsageError(f"{where}: {error}.", remedy="mend this line.") from None
        examples.append(to_example(row.stored()))
    return sift_core.WarmStart(examples, settings.epochs, settings.learning_rate)


def _public_file(workspace: Workspace, settings: WarmStartSettings) -> Path:
    path = (workspace.root / settings.data).resolve()
    if not path.is_relative_to(workspace.root) or not path.is_file():
        raise UsageError(
            f"base.warm_start.data {settings.data!r} is not a file of the workspace.",
            remedy="put the public data into the workspace and name it by a relative path.",
        )
    return path
