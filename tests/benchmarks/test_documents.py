"""The docs show what is in the results that are committed, and nothing else moves."""

from pathlib import Path

import pytest

from benchmarks.documents import marked, put_between
from tests.support.paths import ROOT

EXPERIMENTS = sorted((ROOT / "benchmarks" / "results" / "fidelity").glob("*/tables.md"))


def test_only_what_is_between_the_marks_is_replaced(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        f"before\n{marked('one', 'old')}\nbetween\n{marked('two', 'kept')}\nafter\n"
    )

    for _ in range(2):
        put_between(document, "one", "new \\1 text\n")

    one, two = marked("one", "new \\1 text"), marked("two", "kept")
    assert document.read_text() == f"before\n{one}\nbetween\n{two}\nafter\n"


@pytest.mark.parametrize("tables", EXPERIMENTS, ids=lambda path: path.parent.name)
def test_the_docs_show_the_experiments_that_are_committed(tables: Path) -> None:
    document = (ROOT / "docs/explanation/fidelity.md").read_text(encoding="utf-8")
    name = f"fidelity: {tables.parent.name}"
    assert marked(name, tables.read_text(encoding="utf-8")) in document
