"""Measured tables inside the docs: what stands between two marks comes from a results file."""

import re
from pathlib import Path


def begin(name: str) -> str:
    """The mark before what is measured as `name`."""
    return f"<!-- {name} -->"


def end(name: str) -> str:
    """The mark after it."""
    return f"<!-- end of {name} -->"


def marked(name: str, text: str) -> str:
    """`text` between its marks, as it stands in a document."""
    return f"{begin(name)}\n{text.rstrip()}\n{end(name)}"


def put_between(document: Path, name: str, text: str) -> None:
    """Replace what a document has between the marks of `name`; without them nothing changes."""
    old = document.read_text(encoding="utf-8")
    pattern = f"{re.escape(begin(name))}.*?{re.escape(end(name))}"
    new = re.sub(pattern, lambda _: marked(name, text), old, flags=re.DOTALL)
    if new != old:
        document.write_text(new, encoding="utf-8")
