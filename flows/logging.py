"""Structured logs: one JSON object a line, and nothing in it that a person could be known by.

    {"time": "2026-11-25T03:00:00+00:00", "level": "INFO", "event": "opt_out.removed ended",
     "run": "01a2…", "requests": ["opt-out-0001"], "contributors": ["5f0c…"], "seconds": 2.41}

They go to `.sift/logs/sift.jsonl` of the workspace, to standard error with `--log json` or
SIFT_LOG=json, and, within a flow, to Prefect's run page. Everything is the standard library's
logging under the name `sift`. An event has a fixed name; what varies are fields, which `event`
names one by one, so that no text from outside gets in. Errors are the one exception, and pass
`flows/workspace/log_redaction.py` first.
"""

import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pythonjsonlogger.json import JsonFormatter

FILE = Path(".sift") / "logs" / "sift.jsonl"
SWITCH = "SIFT_LOG"
MAX_BYTES, KEPT = 10_000_000, 4
"""A file that is longer is put aside, and as many of those are kept."""
_LOCK_SECONDS = 5.0

logger = logging.getLogger("sift")
_about: ContextVar[dict[str, Any]] = ContextVar("about", default={})  # noqa: B039 - never changed


def event(
    name: str,
    *,
    level: int = logging.INFO,
    command: str | None = None,
    run: str | None = None,
    requests: Sequence[str] | None = None,
    contributors: Sequence[str] | None = None,
    backup: str | None = None,
    seconds: float | None = None,
    exit_code: int | None = None,
    count: int | None = None,
    error: str | None = None,
    found: str | None = None,
    remedy: str | None = None,
) -> None:
    """Log that something happened; what it is about is taken from `about` where it is not given.

    `contributors` are contributor keys. `found` and `remedy` are of an error, redacted.
    """
    given = {name: value for name, value in locals().items() if name not in ("name", "level")}
    fields = {key: value for key, value in given.items() if value not in (None, [], ())}
    logger.log(level, name, extra={**_about.get(), **fields})


@contextmanager
def about(
    *,
    run: str | None = None,
    requests: Sequence[str] = (),
    contributors: Sequence[str] = (),
) -> Iterator[None]:
    """Say of every event within what it is about: run, requests, contributor keys."""
    given = {"run": run, "requests": list(requests), "contributors": list(contributors)}
    known = {name: value for name, value in given.items() if value}
    token = _about.set({**_about.get(), **known})
    try:
        yield
    finally:
        _about.reset(token)


@contextmanager
def told(job: str) -> Iterator[None]:
    """Log that a piece of work began, and that it ended or failed, with its seconds."""
    event(f"{job} began")
    started = time.monotonic()
    try:
        yield
    except BaseException as error:
        # Its kind alone: a message may name a contributor.
        seconds = round(time.monotonic() - started, 3)
        kind = type(error).__name__
        event(f"{job} failed", level=logging.ERROR, seconds=seconds, error=kind)
        raise
    event(f"{job} ended", seconds=round(time.monotonic() - started, 3))


def keep_in(root: Path) -> None:
    """From now on, events of this process go to the log of the workspace at `root`."""
    _file.root = root


def root_of_log() -> Path | None:
    """The workspace whose log this process writes, if any."""
    return _file.root


def on_standard_error() -> None:
    """Also write events to standard error, for whoever collects that."""
    if _stderr not in logger.handlers:
        logger.addHandler(_stderr)


class WorkspaceLog(logging.Handler):
    """Appends to the log of a workspace; several processes may do so at once.

    One write a line, so lines never mix. The file is put aside by whoever finds it too long, one
    process at a time. A log that cannot be written stops no work: a full disk is told of by the
    work itself.
    """

    root: Path | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Append one line."""
        if self.root is None or not (self.root / ".sift").is_dir():
            return
        path = self.root / FILE
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            if path.exists() and path.stat().st_size > MAX_BYTES:
                _put_aside(path)
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, (self.format(record) + "\n").encode())
            finally:
                os.close(handle)
        except (OSError, Timeout):
            return


def _put_aside(path: Path) -> None:
    with FileLock(path.with_name(".lock"), timeout=_LOCK_SECONDS):
        if path.stat().st_size <= MAX_BYTES:  # another process was faster
            return
        for number in range(KEPT - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        path.replace(path.with_name(f"{path.name}.1"))


class _StandardError(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever is standard error at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        self.setStream(sys.stderr)
        super().emit(record)


class _Line(JsonFormatter):
    """A record as one line of JSON, its time in UTC."""

    def __init__(self) -> None:
        names = {"asctime": "time", "levelname": "level", "message": "event"}
        fields = " ".join(f"%({name})s" for name in names)
        super().__init__(fields, rename_fields=names, json_ensure_ascii=False)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """ISO 8601 with microseconds."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")


_file, _stderr = WorkspaceLog(), _StandardError()
for _handler in (_file, _stderr):
    _handler.setFormatter(_Line())
logger.setLevel(logging.INFO)
logger.propagate = False  # whoever imports us decides about their own root logger
logger.addHandler(_file)
if os.environ.get(SWITCH) == "json":
    on_standard_error()
