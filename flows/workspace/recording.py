"""Finished work on its way into the lineage store: many small results, few transactions.

Opening the store, locking it and settling it on the disk costs as much as a small finetuning, and
keeps every reader out. So what is finished waits a few seconds for company.
"""

import time
from collections.abc import Hashable, Iterable
from types import TracebackType

from lineage import Store
from lineage.records import Row

SECONDS = 10.0
"""How long a result may wait: what a killed process has to do again."""


class Recording:
    """Adds rows to the lineage store some seconds' worth at a time; the last ones on leaving.

    The rows of one `add` are recorded together or not at all. A killed process loses records and
    never more than records: what they spoke of is found unrecorded, and done again. After an error
    in its `with` block, whatever was finished before is recorded all the same. Raises the errors of
    `Store.writer`.
    """

    def __init__(self, store: Store, seconds: float | None = None) -> None:
        self._store = store
        self._seconds = SECONDS if seconds is None else seconds
        self._waiting: dict[Hashable, Row] = {}
        self._since = time.monotonic()

    def __enter__(self) -> "Recording":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.flush()

    def add(self, rows: Iterable[Row]) -> None:
        """Record rows soon; at once where the last transaction is long enough ago."""
        new = {(row.table, *(getattr(row, name) for name in row.key)): row for row in rows}
        if any(self._waiting.get(key, row) != row for key, row in new.items()):
            self.flush()  # the store knows what another row with the same key means
        self._waiting |= new  # the same row twice is one: contributors may share content
        if time.monotonic() - self._since >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Record in one transaction what is waiting."""
        if self._waiting:
            with self._store.writer() as recorder:
                recorder.add_all(self._waiting.values())
            self._waiting = {}
        self._since = time.monotonic()
