"""One measured number with its target: the rows of `benchmarks/results/latest.json`."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A number, what it should be, and whether it is.

    `value` is in the unit that `figure` names; `detail` holds the numbers it was computed from.
    """

    figure: str
    value: float
    target: str
    met: bool
    detail: dict[str, Any]

    @classmethod
    def at_most(cls, figure: str, value: float, limit: float, **detail: Any) -> "Figure":
        """A figure that should not exceed `limit`."""
        return cls(figure, value, f"≤ {limit:g}", value <= limit, detail)

    @classmethod
    def at_least(cls, figure: str, value: float, limit: float, **detail: Any) -> "Figure":
        """A figure that should reach `limit`."""
        return cls(figure, value, f"≥ {limit:g}", value >= limit, detail)

    @classmethod
    def shown(cls, figure: str, value: float, **detail: Any) -> "Figure":
        """A figure without a target."""
        return cls(figure, value, "none", True, detail)

    def as_dict(self) -> dict[str, Any]:
        """The row as it is written."""
        return asdict(self)


def write_figures(path: Path, figures: Iterable[Figure]) -> None:
    """Write figures as a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [figure.as_dict() for figure in figures]
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_figures(path: Path) -> list[Figure]:
    """The figures that `write_figures` wrote."""
    return [Figure(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
