"""Is this workspace, and this machine, fit for its work? Looks, changes nothing, says what mends.

An audit asks whether the past is as lineage says; this asks whether the next command will work. The
checks of the machine are in `machine.py`, those of stores in `stores.py`, those of keys and
leftovers in `custody.py`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from flows.errors import FlowError
from flows.workspace.workspace import Workspace
from lineage import LineageError

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Diagnosis:
    """What one check found; `remedy` is empty where all is well."""

    check: str
    status: Status
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class UnfitError(FlowError):
    """Something is broken and must be mended before work goes on."""


Look = Callable[[Workspace], Iterable[tuple[Status, str, str]]]
"""A check: status, what was found, and how to mend it, once for each thing that is worth saying."""


def examine(workspace: Workspace) -> list[Diagnosis]:
    """Make every check; one that cannot be made has failed, and says why."""
    from flows.operations.doctor.custody import CUSTODY  # they need these names
    from flows.operations.doctor.machine import MACHINE
    from flows.operations.doctor.stores import STORES

    checks: dict[str, Look] = {**MACHINE, **STORES, **CUSTODY}
    return [one for name, look in checks.items() for one in _made(workspace, name, look)]


def require_fit(diagnoses: Iterable[Diagnosis]) -> None:
    """Raise UnfitError, naming the first, where a check failed."""
    failed = [one for one in diagnoses if one.status == "failed"]
    if failed:
        first = failed[0]
        more = f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""
        raise UnfitError(f"{first.check}: {first.found}{more}", remedy=first.remedy)


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
