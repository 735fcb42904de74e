"""A spreadsheet runs nothing of a CSV file that we wrote (OWASP, "CSV Injection")."""

import csv
import io
from typing import Any

import pytest

from flows.data.spreadsheet import write_csv

CASES: dict[str, str] = {
    "a formula": "=1+1",
    "a program": "=cmd|' /C calc'!A0",
    "plus": "+1+cmd|' /C calc'!A0",
    "minus": "-2+3+cmd|' /C calc'!A0",
    "a minus sign": "\u22122+3",
    "an at sign": "@SUM(1+1)",
    "a tab": "\t=1+1",
    "a carriage return": "\r=1+1",
    "a line feed": "\n=1+1",
    "spaces before": "   =1+1",
    "a byte order mark before": "\ufeff=1+1",
    "wide letters": "\uff1d1+1",
    "a wide plus": "\uff0b1+1",
    "a wide minus": "\uff0d1+1",
    "a wide at sign": "\uff20SUM(1)",
    "nearly a number": "-5,3;=1",
    "a quote within": '="a"&"b"',
    "a sum of numbers": "-1-1",
}
KEPT: list[Any] = [-5, -0.25, "-5", "+5", "-1.5e-3", 7, True, "a=b", "ann@example.org", "", "007"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("place", ["header", "row"])
def test_a_text_that_begins_like_a_formula_is_text(case: str, place: str) -> None:
    out = io.StringIO()
    text = CASES[case]
    write_csv(out, ["a", text] if place == "header" else ["a", "b"], [[1, text]])
    (cell,) = [row[1] for row in csv.reader(io.StringIO(out.getvalue(), newline=""))][-1:]
    assert cell == f"'{text}"
    if place == "header":
        assert next(csv.reader(io.StringIO(out.getvalue(), newline="")))[1] == f"'{text}"


def test_numbers_and_other_texts_stay_as_they_are() -> None:
    out = io.StringIO()
    write_csv(out, ["value"], [[value] for value in KEPT])
    cells = [row[0] for row in csv.reader(io.StringIO(out.getvalue())) if row]
    assert cells == ["value", *map(str, KEPT)]
