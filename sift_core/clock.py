"""The one date that chat templates see: a finetuning does not depend on the day it is run.

Templates print today's date (`strftime_now`), and so a vector would depend on the day: finetuned
again tomorrow, it would be another one. The date here is the one that the templates of Llama 3
fall back to where there is no clock. Names of days and months are English whatever the locale is.
"""

import re
from datetime import UTC, datetime

from sift_core.errors import UnreadableRowError

DATE = datetime(2024, 7, 26, tzinfo=UTC)
"""Every "now" of a chat template, trained, scored and served: docs/explanation/method.md."""

_ENGLISH = {
    "a": "Fri",
    "A": "Friday",
    "b": "Jul",
    "h": "Jul",
    "B": "July",
    "c": "Fri Jul 26 00:00:00 2024",
    "p": "AM",
    "r": "12:00:00 AM",
    "x": "07/26/24",
    "X": "00:00:00",
    "Z": "UTC",
    "%": "%%",
}
"""What the C library would put into words of the locale, as its locale "C" has it."""

_DIRECTIVE = re.compile(r"%([EO_^#0-]*)([A-Za-z%])")


def strftime_now(form: str) -> str:
    """The date, written as `datetime.strftime` would in the locale "C"."""
    plain = _DIRECTIVE.sub(lambda found: _ENGLISH.get(found[2], found[0]), form)
    return DATE.strftime(plain)


def reads_clock(chat_template: object) -> bool:
    """Whether what a template writes could depend on the clock."""
    return _NOW in str(chat_template or "")


def stopped(chat_template: str) -> str:
    """The same template with the date written in where it reads the clock.

    Rendering gives templates a clock of its own and takes no other, so the text is changed. Raises
    UnreadableRowError where a template reads the clock in a way that cannot be written in.
    """
    written = _CALL.sub(lambda found: repr(strftime_now(found["form"])), chat_template)
    if _NOW in _QUESTION.sub("", written):
        raise UnreadableRowError(
            "The chat template of the base model reads the clock in a way that cannot be fixed.",
            remedy="write the date in its `chat_template.jinja`, or call strftime_now there with "
            "one quoted form alone.",
        )
    return written


_NOW = "strftime_now"
_CALL = re.compile(_NOW + r"""\(\s*(?P<quote>['"])(?P<form>[^'"\\]*)(?P=quote)\s*\)""")
_QUESTION = re.compile(_NOW + r"\s+is\s+(not\s+)?defined")
