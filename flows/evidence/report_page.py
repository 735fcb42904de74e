"""The report as one page for people: HTML without scripts, links or anything to load.

Everything that comes from a report is escaped. The chart is drawn by the template as SVG from the
rows that are laid out here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import cast

import jinja2
from markupsafe import Markup

from flows.erasure.results import Sides
from flows.erasure.targets import LABELS
from flows.evidence.report import Destroyed, Report
from flows.models.measures import MARGIN, MEASURES, Measure
from flows.workspace.characters import plain
from lineage import opt_out
from lineage.records import Metric

_SETTINGS = {
    "masked": "with their own mask",
    "merged": "without a mask",
    "base": "the base model alone",
}
_SPLITS = {"held_out": "unseen rows", "held_in": "trained rows"}
_STATISTICS = {"mean": "mean", "worst_decile": "worst tenth"}
_STEPS = {
    "received": "The request came in",
    "identified": "Everything made from what is withdrawn was found",
    "approved": "The irreversible part was approved",
    "removed": "The contribution was subtracted",
    "verified": "The result was checked to the bit",
    "evaluated": "Quality was measured again",
    "registered": "The new model took over",
    "purged": "What held the old one was destroyed and looked for again",
    "reported": "This report was written and certified",
}
if tuple(_STEPS) != opt_out.STEPS:
    raise AssertionError(f"{list(_STEPS)} are not the steps of lineage, {opt_out.STEPS}")


@dataclass(frozen=True)
class Bar:
    """One line of the chart: the same measurement before and after; None where there is none."""

    label: str
    before: float | None
    after: float | None
    before_margin: float = 0.0
    after_margin: float = 0.0
    """How far each may be off, where not everybody was scored."""


@dataclass(frozen=True)
class Chart:
    """What was measured in one way."""

    measure: Measure
    bars: list[Bar]


@dataclass(frozen=True)
class PlaceCount:
    """How many objects were destroyed in one place, and their size in bytes."""

    place: str
    objects: int
    bytes: int


def page(report: Report) -> str:
    """The HTML of a report; the same report gives the same bytes."""
    template = _environment().get_template("report.html.j2")
    quality = report.quality
    return template.render(
        report=report,
        own=_charts(quality.contributor) if quality else [],
        retained=_charts(quality.retained) if quality else [],
        sampled=quality is not None and _is_sampled(quality.retained),
        places=_places(report.destroyed),
        days=(report.written_at - report.received_at).days,
    )


def _charts(sides: Sides) -> list[Chart]:
    """All measurements of both sides by measure, masked before merged before base, unseen first."""
    every = sides.before.keys() | sides.after.keys()
    names = sorted((name for name in every if not name.endswith(MARGIN)), key=_rank)
    by_measure: dict[Metric, list[Bar]] = {metric: [] for metric in MEASURES}
    for name in names:
        metric = cast(Metric, name.split(".")[2])
        before, after = sides.before, sides.after
        margins = (side.get(name + MARGIN, 0.0) for side in (before, after))
        bar = Bar(_label(name), before.get(name), after.get(name), *margins)
        by_measure[metric].append(bar)
    return [Chart(MEASURES[metric], bars) for metric, bars in by_measure.items() if bars]


def _is_sampled(sides: Sides) -> bool:
    """Whether any mean is of some who stand for all."""
    values = {**sides.before, **sides.after}
    return any(value > 0 for name, value in values.items() if name.endswith(MARGIN))


def _rank(name: str) -> tuple[int, ...]:
    setting, split, _, *statistic = name.split(".")
    tables: Sequence[Mapping[str, str]] = (_SETTINGS, _SPLITS, _STATISTICS)
    parts = (setting, split, *statistic)
    return tuple(list(table).index(part) for table, part in zip(tables, parts, strict=False))


def _label(name: str) -> str:
    setting, split, _, *statistic = name.split(".")
    words = [_SETTINGS[setting], _SPLITS[split], *(_STATISTICS[own] for own in statistic)]
    return ", ".join(words)


def _places(destroyed: Sequence[Destroyed]) -> list[PlaceCount]:
    objects = Counter(row.place for row in destroyed)
    sizes: Counter[str] = Counter()
    for row in destroyed:
        sizes[row.place] += row.bytes or 0
    return [PlaceCount(place, count, sizes[place]) for place, count in sorted(objects.items())]


def _moment(moment: datetime | None) -> str:
    """A time as people read it; a time that is missing shows."""
    return f"{moment:%d %B %Y, %H:%M:%S} UTC" if moment else "pending"


def _day(moment: datetime) -> str:
    return f"{moment:%d %B %Y}"


def _size(count: int) -> str:
    """Bytes in the unit that leaves one to three digits before the point."""
    size, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


def _place(name: str) -> str:
    return LABELS.get(name, name)


def _step(name: str) -> str:
    return _STEPS.get(name, name)


def _measured(value: float | None, margin: float) -> str:
    """A measurement, with how far it may be off."""
    if value is None:
        return "–"
    return f"{value:.2f} ± {margin:.2f}" if margin else f"{value:.3f}"


def _told(value: float | Sequence[float]) -> str:
    """A number, or where a curve begins and ends; report.json has every step."""
    ends = [value] if isinstance(value, float) else [value[0], value[-1]]
    return " → ".join(f"{one:.4f}" for one in ends)


def _visible(value: object) -> object:
    """A text in which nothing is hidden: marks that turn or hide letters are spelled out."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": _moment,
        "day": _day,
        "size": _size,
        "place": _place,
        "step": _step,
        "measured": _measured,
        "told": _told,
    }
    return environment
