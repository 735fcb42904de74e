"""Runs begin at once: each is forked from a process that has imported all and done nothing.

Prefect's runner starts a new interpreter for a run, which spends most of a short one importing
torch, transformers, MLflow and Prefect. Here it is Python's own fork server instead: one process
that has the imports (`warm`), no thread of Python's, and waits. A run is a process of its own as
before: it is cancelled by a signal, and nothing of it, neither a module's state nor a locale, is
there for the next. The server ends with whoever started it, also where that is killed.
"""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import forkserver
from types import SimpleNamespace
from typing import Any

WARM = "flows.operations.services.warm"


@contextmanager
def forking_runs() -> Iterator[None]:
    """Let runs of this process's runner be forks while the block runs.

    Its environment is what runs get, so it is settled before. A run that comes while the imports
    still go on waits for them.
    """
    engine: Any = import_module("prefect.flow_engine")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([WARM])
    forkserver.ensure_running()
    spawning = engine.multiprocessing
    # Prefect asks for the context "spawn" by name, and leaves no other way to say which.
    forking = SimpleNamespace(get_context=lambda _: context, context=multiprocessing.context)
    engine.multiprocessing = forking
    try:
        yield
    finally:
        engine.multiprocessing = spawning
