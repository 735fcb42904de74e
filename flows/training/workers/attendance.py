"""Whether anybody works for the pool: a build that waits for nobody says so.

It goes on waiting, since workers come and go; who watches sees what it waits for.
"""

import logging
import time

from flows.logging import event
from flows.progress import tell
from flows.training.workers.pool import Pool

ASK_SECONDS = 15.0
"""How long everything may wait before the pool is asked, and then between two questions."""


class Attendance:
    """Asks the pool for its workers while all assignments wait, and tells when it has none."""

    def __init__(self, pool: Pool, ask_seconds: float = ASK_SECONDS) -> None:
        self._pool = pool
        self._ask_seconds = ask_seconds
        self._at = time.monotonic()
        self._missing = False

    def look(self, *, all_wait: bool) -> None:
        """Called at every tick. Raises PoolError where the pool cannot be asked."""
        now = time.monotonic()
        if not all_wait:
            self._at = now
        elif now - self._at < self._ask_seconds:
            return
        self._at = now
        self._note(missing=all_wait and not self._pool.is_attended())

    def _note(self, *, missing: bool) -> None:
        if missing == self._missing:
            return
        self._missing = missing
        if missing:
            start = f"start one: sift workers start {self._pool.name}"
            event("workers.no_worker_online", level=logging.WARNING, remedy=start)
        tell(f"Waiting for a worker of {self._pool.name}", 0 if missing else 1, 1)
