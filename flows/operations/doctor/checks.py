"""Is this workspace, and this machine, fit for its work? Looks, changes nothing, says what mends.

An audit asks whether the past is as lineage says; this asks whether the next command will work. The
checks of the machine are in `machine.py`, those of stores in `stores.py`, those of keys and
leftovers in `custody.py`.
"""

from collections.abc import Iterator

from flows.errors import FlowError
from flows.operations.doctor.custody import CUSTODY
from flows.operations.doctor.diagnosis import Diagnosis, Look
from flows.operations.doctor.machine import MACHINE
from flows.operations.doctor.stores import STORES
from flows.workspace.workspace import Workspace
from lineage import LineageError

CHECKS: dict[str, Look] = {**MACHINE, **STORES, **CUSTODY}
"""Every check, in the order in which they are made."""


def examine(workspace: Workspace) -> list[Diagnosis]:
    """Make every check; one that cannot be made has failed, and says why."""
    return [one for name, look in CHECKS.items() for one in _made(workspace, name, look)]


def _made(workspace: Workspace, name: str, look: Look) -> Iterator[Diagnosis]:
    try:
        for status, found, remedy in look(workspace):
            yield Diagnosis(name, status, found, remedy)
    except (FlowError, LineageError) as error:
        yield Diagnosis(name, "failed", error.facts, error.remedy)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        found = f"{error.strerror or error}{where}."
        yield Diagnosis(name, "failed", found, "make it readable for you, then run this again.")
