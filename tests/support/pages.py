"""Pages of the docs in parts: blocks to run, files to write, tables to hold them to."""

import re
from collections.abc import Iterable, Sequence


def blocks(text: str, language: str) -> list[str]:
    """The blocks of code in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def files(text: str) -> list[tuple[str, str]]:
    """(name, content) of each block that stands for a file, as in ```json reviews.jsonl."""
    return re.findall(r"^```(?:json|text) (\S+)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
