"""The table and the picture of an audit are what was measured."""

from pathlib import Path

from benchmarks.documents import begin
from benchmarks.removal_audit import DOCUMENT, MARK, Case, draw, table
from sift_core import Probe, RemovalAudit
from sift_core.removal_audit import RELEARNED


def case(name: str, value: float) -> Case:
    probes = (
        Probe("membership", (value,), (0.5,)),
        Probe("base", (0.5,), (0.5,)),
        Probe("rows", (value, 0.5), (0.5, 0.5)),
        Probe(RELEARNED, (1.0, value), (1.0, 0.5), is_curve=True),
    )
    return Case(name, RemovalAudit(probes))


CASES = [case("exact", 0.5), case("one tensor forgotten", 0.75), case("not removed", 1.0)]


def test_the_table_says_who_passed_and_by_how_much_others_failed() -> None:
    lines = table(CASES).splitlines()
    assert lines[2] == "| membership | 0.5000 | 0.5000 | 0.7500 | 1.0000 |"
    assert lines[-2] == "| largest difference | | 0 | 0.25 | 0.5 |"
    assert lines[-1] == "| **audit** | | **passed** | **FAILED** | **FAILED** |"


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    draw(CASES, tmp_path / "audit.png")
    assert (tmp_path / "audit.png").read_bytes().startswith(b"\x89PNG")


def test_the_published_audit_tells_the_exact_removal_from_the_others() -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition(begin(MARK))[2]
    assert "| **audit** | | **passed** | **FAILED** | **FAILED** |" in text
