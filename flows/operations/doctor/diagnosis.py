"""What one check of the doctor says."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from flows.errors import FlowError
from flows.workspace.workspace import Workspace

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


def require_fit(diagnoses: Iterable[Diagnosis]) -> None:
    """Raise UnfitError, naming the first, where a check failed."""
    failed = [one for one in diagnoses if one.status == "failed"]
    if failed:
        first = failed[0]
        more = f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""
        raise UnfitError(f"{first.check}: {first.found}{more}", remedy=first.remedy)
