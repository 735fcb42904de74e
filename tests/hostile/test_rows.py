"""Files of rows from contributors, who may want us to stumble, or to fill our memory.

Each case is a file. It is read as if what is odd about it were not there, or refused in one line
that names the file and says what to do.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.data.ingest import read_datasets
from flows.data.row_files import MAX_FILE_BYTES
from flows.evidence.audit_checks import CHECKS
from flows.evidence.inventory import Stock
from flows.workspace.workspace import Workspace
from tests.support import tiny
from tests.support.separators import SEPARATING
from tests.support.sift import Sift
from tests.support.workspaces import (
    build_plainly,
    make_workspace,
    opt_out_plainly,
    request,
    reviews,
)

ROWS = {
    "contributor": ["eve", "eve"],
    "text": ["a nice day", "a poor film"],
    "label": ["good", "bad"],
}
BIG = "x" * 1_000_000

Made = bytes | Callable[[Path], object]


def parquet(**columns: Any) -> Made:
    """A Parquet file with these columns beside the usual ones, or in their place."""
    return lambda path: pq.write_table(pa.table({**ROWS, **columns}), path, compression="zstd")


def repeated(text: str, times: int) -> pa.DictionaryArray:
    """One text many times, for the price of one."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), [text])


def groups(number: int, **options: Any) -> Made:
    """Row groups of 40 MB of one letter, each of which is a few bytes in the file."""
    table = pa.table({"contributor": ["eve"] * 40, "text": [BIG] * 40, "label": ["good"] * 40})

    def make(path: Path) -> None:
        settings = {"compression": "zstd", "use_dictionary": False, **options}
        with pq.ParquetWriter(path, table.schema, **settings) as writer:
            for _ in range(number):
                writer.write_table(table)

    return make


def lines(**more: Any) -> bytes:
    """JSON Lines of the usual rows, each with more fields."""
    rows = [
        {**dict(zip(ROWS, values, strict=True)), **more}
        for values in zip(*ROWS.values(), strict=True)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def table(separator: str = ",", header: str = "contributor,text,label", more: str = "") -> bytes:
    """The usual rows as CSV."""
    text = f"{header}\neve,a nice day,good{more}\neve,a poor film,bad{more}\n"
    return text.replace(",", separator).encode()


NUMBER = b'{"n": ' + b"9" * 5000 + b", "
TWICE = b'{"x": 1, "x": 2, "y": {"z": 1, "z": 2}, '

CASES: dict[str, tuple[str, Made, str | None]] = {
    # What is not read decides nothing.
    "an unknown time zone": (
        "a.parquet",
        parquet(at=pa.array([1, 2], pa.timestamp("us", "Mars"))),
        None,
    ),
    "a far date": ("a.parquet", parquet(at=pa.array([2**31 - 1, 0], pa.date32())), None),
    "a far time": ("a.parquet", parquet(at=pa.array([2**60, 0], pa.timestamp("us"))), None),
    "a far duration": ("a.parquet", parquet(at=pa.array([2**60, 0], pa.duration("us"))), None),
    "a wide decimal": ("a.parquet", parquet(n=pa.array([1, 2], pa.decimal256(76, 3))), None),
    "bytes": ("a.parquet", parquet(raw=[b"\xff", b"\xfe"]), None),
    "a map": ("a.parquet", parquet(m=pa.array([[("a", 1)], []], pa.map_("string", "int8"))), None),
    "nothing but nulls": ("a.parquet", parquet(item=[None, None]), None),
    "large strings": ("a.parquet", parquet(text=pa.array(ROWS["text"], pa.large_string())), None),
    "a dictionary": ("a.parquet", parquet(label=pa.array(ROWS["label"]).dictionary_encode()), None),
    "a long number": ("a.jsonl", lines().replace(b"{", NUMBER), None),
    "a large exponent": ("a.jsonl", lines().replace(b"{", b'{"n": 1e999999, '), None),
    "ignored fields twice": ("a.jsonl", lines().replace(b"{", TWICE), None),
    "an answer beside": ("a.jsonl", lines(answer="i", question=7, messages=[1]), None),
    "half a surrogate beside": ("a.jsonl", lines(note="\ud800"), None),
    "a long field beside": ("a.jsonl", lines(note=BIG * 2), None),
    "a long column beside": (
        "a.csv",
        table(header="contributor,text,label,n", more="," + BIG * 2),
        None,
    ),
    "two columns of notes": ("a.csv", table(header="contributor,text,label,n,n", more=",,"), None),
    # What is read is as it must be.
    "numbers for texts": ("a.parquet", parquet(text=[1, 2]), "column `text` is no text but INT64"),
    "times for texts": (
        "a.parquet",
        parquet(text=pa.array([1, 2], pa.timestamp("us", "Mars"))),
        "column `text` is no text but TIMESTAMP",
    ),
    "bytes for texts": (
        "a.parquet",
        parquet(text=[b"\xff", b"a"]),
        "`text` is no text but BYTE_ARRAY",
    ),
    "a number that is read": ("a.jsonl", lines(contributor=7), "'contributor': it must be a text"),
    "a field twice": ("a.jsonl", lines().replace(b"{", b'{"text": "a", '), "'text' is there twice"),
    "blank": ("a.jsonl", lines(text=" \t "), "'text': it is blank"),
    "invisible": ("a.jsonl", lines(text="\u200b\u3164\ufe0f"), "'text': it is blank"),
    "blank in CSV": ("a.csv", table().replace(b"a nice day", b"  "), "'text': it is blank"),
    "a text too long": ("a.jsonl", lines(text=BIG + "x"), "more than 1000000 characters"),
    "questions": (
        "a.jsonl",
        b'{"contributor":"eve","question":"a","answer":"b"}\n',
        "text + label",
    ),
    "semicolons": ("a.csv", table(";"), "separated by semicolons"),
    "tabs": ("a.csv", table("\t"), "separated by tabs"),
    "capitals": (
        "a.csv",
        table(header="Contributor,Text,Label"),
        "'Contributor' is not `contributor`",
    ),
    "spaces": ("a.csv", table(header="contributor, text, label"), "' text' is not `text`"),
    "other columns": (
        "a.csv",
        table(header="user,review,stars"),
        "columns `user`, `review`, `stars`",
    ),
    "other columns in Parquet": (
        "a.parquet",
        lambda path: pq.write_table(pa.table({"user": ["a"]}), path),
        "has the columns `user`; it needs `contributor` and text + label",
    ),
    "a column that a terminal obeys": ("a.csv", table(header="\x1b[2J,\u202etext,b"), "`\\x1b[2J`"),
    # What is too much.
    "a line without end": ("a.jsonl", b'{"a": "' + b"x" * (1 << 26), "more than 64 MiB"),
    "a quote without end": ("a.csv", table() + b'eve,"' + b"x" * (1 << 26), "is not readable"),
    "a dictionary of one": (
        "a.parquet",
        lambda path: pq.write_table(
            pa.table(
                {
                    name: repeated(own, 4000)
                    for name, own in (("contributor", "eve"), ("text", BIG), ("label", "good"))
                }
            ),
            path,
        ),
        "more than 1 GiB",
    ),
    "rows without end": (
        "a.parquet",
        lambda path: pq.write_table(
            pa.table({name: repeated("good", 6_000_000) for name in ROWS}), path
        ),
        "more than 1 GiB",
    ),
    "nested without end": ("a.jsonl", b"[" * 200_000, "nested too deeply"),
}
SLOW = {
    "a compressed column": ("a.parquet", groups(30), "more than 1 GiB"),
    "each text the one before": (
        "a.parquet",
        groups(30, column_encoding={"text": "DELTA_BYTE_ARRAY"}),
        "more than 1 GiB",
    ),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("rows") / "films", Path("base"), [])


def written(folder: Path, name: str, made: Made) -> Path:
    path = folder / name
    if isinstance(made, bytes):
        path.write_bytes(made)
    else:
        made(path)
    return path


@pytest.mark.parametrize(
    "case", [*CASES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_a_file_is_read_for_what_is_read_or_refused_in_one_line(
    workspace: Workspace,
    tmp_path: Path,
    sift: Sift,
    case: str,
) -> None:
    name, made, complaint = (CASES | SLOW)[case]
    path = written(tmp_path, name, made)
    if complaint is None:
        (found,) = read_datasets(workspace, [path])
        assert sorted(row["text"] for row in found.rows) == sorted(ROWS["text"])
        assert all(row.keys() == {"text", "label"} for row in found.rows)
        return
    sift("contributors", "add", path, "-w", workspace.root).refused(2, name, complaint)
    assert pa.default_memory_pool().max_memory() < 2 * MAX_FILE_BYTES
    assert [*workspace.data.glob("*.jsonl")] == []


TEXTS = ["".join(SEPARATING[at::24]) for at in range(24)]
"""Every control, format and separating character, in rows that end, begin and are torn by them."""


def nasty(contributor: str) -> list[dict[str, str]]:
    return [
        {
            "contributor": contributor,
            "text": f"{text} the {text} film {number} was fine{text}",
            "label": tiny.LABELS[number % 2],
            "item": f"{number}{text}",
        }
        for number, text in enumerate(TEXTS)
    ]


def as_file(folder: Path, ending: str, rows: list[dict[str, str]]) -> Path:
    import csv

    path = folder / f"rows.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ending == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(rows)
    else:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_every_format_gives_every_character_as_it_is(
    workspace: Workspace, tmp_path: Path, ending: str
) -> None:
    (found,) = read_datasets(workspace, [as_file(tmp_path, ending, nasty("eve"))])
    assert sorted(row["text"] for row in found.rows) == sorted(row["text"] for row in nasty("eve"))
    assert {row["item"] for row in found.rows} == {row["item"] for row in nasty("eve")}


@pytest.mark.slow
def test_whatever_characters_its_rows_hold_a_contributor_is_built_listed_and_opted_out(
    tmp_path: Path,
    tiny_classifier: Path,
    sift: Sift,
) -> None:
    """The whole way from file to report, beside others with the same characters."""
    root = tmp_path / "films"
    workspace = make_workspace(root, tiny_classifier, [reviews("ann")])
    for ending in ("jsonl", "csv", "parquet"):
        path = as_file(tmp_path, ending, nasty(ending))
        assert sift("contributors", "add", path, "-w", root).code == 0
    build_plainly(root)

    shown = sift("contributors", "records", "csv", "-w", root)
    listed = sift("contributors", "records", "csv", "--json", "-w", root)
    assert len(listed.json) == len(TEXTS)
    for out in (shown.out, listed.out):
        assert all(char.isprintable() or char == "\n" for char in out)

    request(workspace, "jsonl")
    some = request(workspace, "csv", records=[row["record"] for row in listed.json[:3]])
    opt_out_plainly(root, "opt-out-0001")
    opt_out_plainly(root, some.request_id)

    assert (workspace.reports / "opt-out-0001" / "report.html").is_file()
    assert (workspace.reports / some.request_id / "report.html").is_file()
    assert len(sift("contributors", "records", "csv", "--json", "-w", root).json) == len(TEXTS) - 3
    assert sift("verify", "-w", root).code == 0
    back = as_file(tmp_path, "jsonl", nasty("JSONL"))
    ended = sift("contributors", "add", back, "-w", root)
    ended.refused(2, "looks like a contributor who has left (opt-out-0001)")
    findings = {name: list(look(Stock(workspace))) for name, (_, look) in CHECKS.items()}
    assert {name: found for name, found in findings.items() if found} == {}
