"""Work that runs beside the caller: hashing, digesting and writing while the next block is read.

Threads help although this is Python: NumPy, hashlib and the system let go of the interpreter
while they work. Results do not depend on timing, for a lane does one thing after the other.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

_DEPTH = 3
"""Blocks that may wait in a lane: enough to even out, few enough to bound memory."""


class Lane:
    """Calls of one function, in order, on a thread of their own; all done when the lane is left.

    What the function raises, the caller sees at a later `put` or at the end.
    """

    def __init__(self, work: Callable[..., object]) -> None:
        self._work = work
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._pending: deque[Future[object]] = deque()

    def put(self, *arguments: Any) -> None:
        """Have `work(*arguments)` done; waits while the lane is `_DEPTH` calls behind."""
        while len(self._pending) >= _DEPTH:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._work, *arguments))

    def __enter__(self) -> "Lane":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=error is not None)
        if error is None:
            for done in self._pending:
                done.result()
