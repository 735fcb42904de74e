"""Where the time of one thread goes: functions are wrapped, and each second counts once.

A watched function that calls another stops its own clock meanwhile. Other threads are not watched:
what they do in the background costs this thread nothing but its share of the processor.
"""

import functools
import importlib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch


class Stopwatch:
    """Wall and processor seconds of this thread by component, and how often each was entered."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.processor: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self._thread = threading.get_ident()
        self._running: list[str] = []
        self._wall = self._cpu = 0.0

    @contextmanager
    def on(self, component: str) -> Iterator[None]:
        """Count the time within for `component`, except for what other components take of it."""
        if threading.get_ident() != self._thread:
            yield
            return
        self._read()
        self._running.append(component)
        self.calls[component] += 1
        try:
            yield
        finally:
            self._read()
            self._running.pop()

    @contextmanager
    def watching(self, targets: Mapping[str, Sequence[str]]) -> Iterator[None]:
        """Watch functions by component; each is written `module:name` or `module:Class.name`.

        A target that ends with `()` gives a context manager, and its whole `with` block counts.
        """
        with ExitStack() as patches:
            for component, names in targets.items():
                for name in names:
                    owner, attribute = _found(name.removesuffix("()"))
                    work = getattr(owner, attribute)
                    wrap = self._block if name.endswith("()") else self._function
                    patches.enter_context(patch.object(owner, attribute, wrap(component, work)))
            yield

    def _read(self) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        if self._running:
            self.seconds[self._running[-1]] += wall - self._wall
            self.processor[self._running[-1]] += cpu - self._cpu
        self._wall, self._cpu = wall, cpu

    def _function(self, component: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(work)
        def watched(*arguments: Any, **named: Any) -> Any:
            with self.on(component):
                return work(*arguments, **named)

        return watched

    def _block(self, component: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(work)
        @contextmanager
        def watched(*arguments: Any, **named: Any) -> Iterator[Any]:
            with self.on(component), work(*arguments, **named) as value:
                yield value

        return watched


def _found(target: str) -> tuple[Any, str]:
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, attribute = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, attribute
