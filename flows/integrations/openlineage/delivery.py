"""What the file of events has, on its way to an endpoint: in order, later where it must be.

A command waits for an endpoint that is dead or slow no longer than `PATIENCE_SECONDS` in all. Then
its events stay in the file, whoever runs it is told once, and a later command sends them first. How
far the endpoint has been told stands in `.sift/openlineage.sent`, in bytes of the file. An event
that was sent right before a process was killed is sent again: it is the same event of the same run.
"""

import json
import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar, Protocol

from filelock import FileLock, Timeout

from sift_bytes import write_atomically

PATIENCE_SECONDS = 5.0
"""How long one process waits for slow answers in all."""
QUICK_SECONDS = 0.25
"""An answer within this time costs no patience."""
AT_ONCE = 200
"""So many events of the past are sent with one of today."""
AGAIN_SECONDS = 600.0
"""When a process that runs on tries again."""
_REFUSED = frozenset({400, 413, 422})
"""An endpoint that says so of an event will say so again: others do not wait for it."""
_log = logging.getLogger("sift.openlineage")


class Transport(Protocol):
    """What carries an event to an endpoint: a transport of OpenLineage's client."""

    def emit(self, event: Any) -> Any:
        """Send one event, or raise."""


class Sender:
    """Sends what the file has; made anew for every workspace object, patient once a process."""

    _patience: ClassVar[dict[Path, float]] = {}
    _tired_since: ClassVar[dict[Path, float]] = {}

    def __init__(self, file: Path, transport: Transport) -> None:
        self._file = file.resolve()
        self._sent = file.with_suffix(".sent")
        self._lock = FileLock(file.with_suffix(".lock"), timeout=0)
        self._transport = transport

    def begin(self) -> None:
        """Note where the first event for this endpoint will stand; call before it is written."""
        if not self._sent.exists():
            self._note(self._file.stat().st_size if self._file.exists() else 0)

    def send(self) -> None:
        """Send what waits, in order; return where the endpoint is away or another process sends."""
        if self._is_tired():
            return
        try:
            with self._lock:
                self._send_waiting()
        except Timeout:
            return

    def _send_waiting(self) -> None:
        at = min(int(self._sent.read_text()), self._file.stat().st_size)
        with self._file.open("rb") as file:
            file.seek(at)
            for line in file.readlines()[:AT_ONCE]:
                if not line.endswith(b"\n") or not self._send_one(line):
                    break
                at += len(line)
                self._note(at)

    def _send_one(self, line: bytes) -> bool:
        """Send an event; whether it need not be sent again."""
        try:
            event = json.loads(line)
        except ValueError:  # what a killed process left
            return True
        started = time.monotonic()
        answer: list[Exception | None] = []
        thread = threading.Thread(target=self._emit, args=(event, answer), daemon=True)
        thread.start()
        thread.join(self._patience.get(self._file, PATIENCE_SECONDS))
        if not answer:
            return self._tire("it does not answer in time")
        took = max(0.0, time.monotonic() - started - QUICK_SECONDS)
        left = self._patience.get(self._file, PATIENCE_SECONDS) - took
        self._patience[self._file] = max(left, QUICK_SECONDS)
        error = answer[0]
        if error is None:
            return True
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in _REFUSED:
            _log.warning("OpenLineage: the endpoint refuses an event, status %s.", status)
            return True
        return self._tire(type(error).__name__)

    def _emit(self, event: Any, answer: list[Exception | None]) -> None:
        try:
            self._transport.emit(event)
        except Exception as error:  # noqa: BLE001  the outside world's error, whatever it is
            answer.append(error)
        else:
            answer.append(None)

    def _tire(self, why: str) -> bool:
        """Leave the rest to a later command, and say so; False."""
        self._tired_since[self._file] = time.monotonic()
        self._patience.pop(self._file, None)
        text = (
            f"OpenLineage: the endpoint cannot be reached ({why}). Events wait in {self._file}, "
            "and the next command sends them."
        )
        _log.warning(text)
        sys.stderr.write(f"{text}\n")
        return False

    def _is_tired(self) -> bool:
        since = self._tired_since.get(self._file)
        return since is not None and time.monotonic() - since < AGAIN_SECONDS

    def _note(self, at: int) -> None:
        write_atomically(self._sent, str(at).encode())
