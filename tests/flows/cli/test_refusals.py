"""Bad input: one clear line that names the remedy, exit code 1 or 2, the workspace as it was."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from flows.workspace.workspace import Workspace
from tests.support.rival import rival
from tests.support.sift import Sift
from tests.support.trees import tree
from tests.support.workspaces import questions, record, reviews


def lines(*rows: object) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def row(**changes: object) -> dict[str, object]:
    return {"contributor": "eve", "text": "the film was good", "label": "good"} | changes


def named(external_id: str) -> bytes:
    return lines(row(contributor=external_id), row(contributor=external_id, text="b"))


GRAMMAR = "An id is 1 to 128 letters"
TWO = lines(row(text="a"), row(text="b"))
FILES = {
    "malformed JSON": ("a.jsonl", TWO + b'{"contributor": ', "a.jsonl line 3 is not JSON"),
    "a list of rows": ("a.jsonl", b"[\n" + TWO + b"]", "one JSON object a line"),
    "a number": ("a.jsonl", TWO + b"7\n", "line 3: it is not an object"),
    "deep nesting": ("a.jsonl", b"[" * 100_000, "line 1 is not JSON"),
    "a missing field": ("a.jsonl", lines(row(text=None)), "line 1: field 'text' is missing"),
    "no contributor": ("a.jsonl", lines(row(contributor=None)), "field 'contributor' is missing"),
    "a field of another type": ("a.jsonl", lines(row(text=7)), "field 'text': it must be a text"),
    "a huge line": ("a.jsonl", lines(row(text="x" * 1_000_001)), "more than 1000000 characters"),
    "an empty file": ("a.jsonl", b"", "has no rows"),
    "blank lines": ("a.jsonl", b"\n\r\n", "has no rows"),
    "UTF-16": ("a.jsonl", TWO.decode().encode("utf-16"), "Convert the file to UTF-8"),
    "other rows of one who is here": (
        "a.jsonl",
        lines(row(contributor="ann", text="a"), row(contributor="ann", text="b")),
        "Replace their rows with `sift contributors add --replace FILE`",
    ),
    "one id in two spellings": ("a.jsonl", named("zoe\u0308") + named("zoë"), "Unicode spelling"),
    "a single row": ("a.jsonl", lines(row()), "has 1 row, fewer than 2"),
    "one row twice": ("a.jsonl", lines(row(), row()), "nothing could be held out"),
    "one group": ("a.jsonl", lines(row(text="a", item="x"), row(text="b", item="x")), "one group"),
    "id: a path": ("a.jsonl", named("../../x"), GRAMMAR),
    "id: SQL": ("a.jsonl", named("'; drop table contributor; --"), GRAMMAR),
    "id: 500 characters": ("a.jsonl", named("x" * 500), GRAMMAR),
    "id: emoji": ("a.jsonl", named("😀"), GRAMMAR),
    "id: NUL": ("a.jsonl", named("a\x00b"), GRAMMAR),
    "id: empty": ("a.jsonl", named(""), GRAMMAR),
    "id: terminal escape": ("a.jsonl", named("\x1b[31mred"), GRAMMAR),
    "id: half a surrogate": ("a.jsonl", named("\ud800"), GRAMMAR),
    "id: a number": ("a.jsonl", lines(row(contributor=7)), "'contributor': it must be a text"),
    "an unknown label": ("a.jsonl", lines(row(label="superb")), "is not one of bad, good"),
    "another kind of row": (
        "a.jsonl",
        lines(*questions("eve")),
        "needs `contributor` and text + label",
    ),
    "CSV: ragged": ("a.csv", b"contributor,text,label\neve,a,good\neve,b\n", "a.csv row 2"),
    "CSV: encoding": ("a.csv", b"contributor,text,label\neve,caf\xe9,good\n", "in UTF-8"),
    "CSV: semicolons": ("a.csv", b"contributor;text;label\neve;a;good\n", "it needs `contributor`"),
    "CSV: two columns of one name": ("a.csv", b"text,text\na,b\n", "two columns 'text'"),
    "Parquet: broken": ("a.parquet", b"PAR1" + bytes(60), "is not readable"),
    "Parquet: empty": ("a.parquet", b"", "is not readable"),
    "another ending": ("a.txt", TWO, "Convert it to JSON Lines"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_bad_file_is_refused_in_one_line_and_changes_nothing(
    case: str, fresh: Workspace, sift: Sift, tmp_path: Path
) -> None:
    name, data, phrase = FILES[case]
    (tmp_path / name).write_bytes(data)
    good = tmp_path / "good.jsonl"
    good.write_bytes(lines(*reviews("new")))
    before = tree(fresh.root)
    ended = sift("contributors", "add", good, tmp_path / name, "-w", fresh.root, "--json")
    ended.refused(2, phrase)
    assert tree(fresh.root) == before, "the good file before the bad one was not added either"


def test_a_parquet_file_with_numbers_for_ids_is_refused(
    fresh: Workspace, sift: Sift, tmp_path: Path
) -> None:
    table = pa.table({"contributor": [1, 2], "text": ["a", "b"], "label": ["good", "bad"]})
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    sift("contributors", "add", tmp_path / "a.parquet", "-w", fresh.root).refused(
        2, "a.parquet: column `contributor` is no text but INT64"
    )


@pytest.mark.parametrize("path", ["nowhere.jsonl", ".", "", "a\x00b.jsonl"])
def test_a_path_that_is_no_file_is_refused(path: str, fresh: Workspace, sift: Sift) -> None:
    sift("contributors", "add", path, "-w", fresh.root).refused(2)


def test_one_file_given_twice_is_refused(fresh: Workspace, sift: Sift, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(TWO)
    twice = ("a.jsonl", "../" + tmp_path.name + "/a.jsonl")
    files = [tmp_path / name for name in twice]
    sift("contributors", "add", *files, "-w", fresh.root).refused(2, "is given twice")


REQUESTS = {
    "unknown contributor": (["opt-out", "request", "nobody", "--basis", "x"], "no contributor"),
    "a path for an id": (["opt-out", "request", "../../x", "--basis", "x"], GRAMMAR),
    "no basis": (["opt-out", "request", "ann"], "Missing option '--basis'"),
    "an empty basis": (["opt-out", "request", "ann", "--basis", " "], "such as --basis gdpr"),
    "a huge basis": (["opt-out", "request", "ann", "--basis", "x" * 999], "not 1 to 200"),
    "unknown request to run": (["opt-out", "run", "opt-out-0009"], "no opt-out request"),
    "unknown request to show": (["opt-out", "status", "'; drop table x"], "no opt-out request"),
    "unknown law": (
        ["opt-out", "request", "ann", "--basis", "x", "--jurisdiction", "lgpd"],
        "policy.jurisdictions",
    ),
    "received tomorrow": (
        ["opt-out", "request", "ann", "--basis", "x", "--received", "2199-01-01"],
        "in the future",
    ),
    "a basis that names them": (
        ["opt-out", "request", "ann", "--basis", "Ann: gdpr"],
        "names a contributor",
    ),
    "unknown request to plan": (["opt-out", "plan", "opt-out-0009"], "no opt-out request"),
    "unknown request to approve": (
        ["opt-out", "approve", "opt-out-0009", "--by", "x", "--reason", "x"],
        "no opt-out request",
    ),
    "approval without a name": (
        ["opt-out", "approve", "opt-out-0001", "--reason", "x"],
        "Missing option '--by'",
    ),
    "hold on nobody": (
        ["opt-out", "hold", "nobody", "--by", "x", "--reason", "x"],
        "`sift contributors list`",
    ),
    "release without a hold": (
        ["opt-out", "release", "ann", "--by", "x", "--reason", "x"],
        "is not on hold",
    ),
    "show nobody": (["contributors", "show", "nobody"], "`sift contributors list`"),
    "impact of nobody": (["lineage", "impact", "nobody"], "`sift contributors list`"),
    "impact of a path": (["lineage", "impact", "../../x"], GRAMMAR),
    "unknown version": (["lineage", "trace", "9"], "no version 9"),
    "a version that is no number": (["lineage", "trace", "x"], "See `sift lineage trace --help`"),
    "SQL that writes": (["lineage", "sql", "DROP TABLE contributor"], "Write one SELECT"),
    "SQL that reads files": (
        ["lineage", "sql", "SELECT * FROM '/etc/passwd'"],
        "docs/reference/lineage.md",
    ),
    "no SQL": (["lineage", "sql", ""], "Write one SELECT"),
    "two statements": (["lineage", "sql", "SELECT 1; SELECT 2"], "Write one SELECT"),
    "two columns of one name": (["lineage", "sql", "SELECT 1 a, 2 a", "--json"], "with AS"),
    "unknown command": (["opt-out", "forget"], "No such command"),
    "unknown option": (["status", "--colour"], "See `sift status --help`"),
    "one argument too many": (["status", "now"], "See `sift status --help`"),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_wrong_request_is_refused_in_one_line_and_changes_nothing(
    case: str, fresh: Workspace, sift: Sift, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, phrase = REQUESTS[case]
    monkeypatch.chdir(fresh.root)
    before = tree(fresh.root)
    sift(*arguments).refused(2, phrase)
    assert tree(fresh.root) == before


def test_export_before_a_build_says_what_to_run(
    fresh: Workspace, sift: Sift, tmp_path: Path
) -> None:
    sift("model", "export", tmp_path / "x", "-w", fresh.root).refused(1, "Run `sift build`")
    assert not (tmp_path / "x").exists()


def test_verify_before_a_build_says_what_to_run(fresh: Workspace, sift: Sift) -> None:
    sift("verify", "-w", fresh.root).refused(1, "Run `sift build`")


def test_a_second_request_of_one_contributor_names_the_first(fresh: Workspace, sift: Sift) -> None:
    request = ("opt-out", "request", "ann", "--basis", "gdpr-art-17", "-w", fresh.root)
    assert sift(*request).code == 0
    before = tree(fresh.root)
    sift(*request).refused(2, "sift opt-out status opt-out-0001")
    assert tree(fresh.root) == before


RECORDS: dict[str, tuple[Callable[[list[str], list[str]], list[str]], str]] = {
    "an unknown hash": (lambda _ann, _bob: ["f" * 64], "has no record ffff"),
    "somebody else's": (lambda _ann, bob: bob[:1], "`sift contributors records"),
    "no hash": (lambda ann, _bob: [ann[0], "film 7"], "line 2 is not a record hash"),
    "half a hash": (lambda ann, _bob: [ann[0][:32]], "line 1 is not a record hash"),
    "one twice": (lambda ann, _bob: [ann[0], "", ann[0].upper()], "line 3 repeats line 1"),
    "nothing": (lambda _ann, _bob: [" ", ""], "names no record"),
    "all records": (lambda ann, _bob: ann, "file the request without --records"),
    "all but one": (lambda ann, _bob: ann[1:], "would have 1 row left, fewer than 2"),
}


@pytest.mark.parametrize("case", RECORDS)
def test_records_that_cannot_be_withdrawn_are_refused_and_change_nothing(
    case: str, fresh: Workspace, sift: Sift, tmp_path: Path
) -> None:
    named, phrase = RECORDS[case]
    hashes = named(*([record(fresh, row) for row in reviews(who)] for who in ("ann", "bob")))
    path = tmp_path / "withdrawn.txt"
    path.write_text("\n".join(hashes))
    before = tree(fresh.root)
    options = ("--basis", "x", "--records", path, "-w", fresh.root)
    sift("opt-out", "request", "ann", *options).refused(2, phrase)
    assert tree(fresh.root) == before


def test_records_that_leave_one_group_are_refused(
    fresh: Workspace, sift: Sift, tmp_path: Path
) -> None:
    rows = [row(text=f"film {item} {number}", item=item) for item, number in ("x1", "x2", "y1")]
    (tmp_path / "eve.jsonl").write_bytes(lines(*rows))
    assert sift("contributors", "add", tmp_path / "eve.jsonl", "-w", fresh.root).code == 0
    (tmp_path / "withdrawn.txt").write_text(record(fresh, rows[2]))
    before = tree(fresh.root)
    options = ("--basis", "x", "--records", tmp_path / "withdrawn.txt", "-w", fresh.root)
    sift("opt-out", "request", "eve", *options).refused(2, "one group", "Withdraw fewer")
    assert tree(fresh.root) == before


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_of_records_that_is_no_text_is_refused(
    content: bytes | None, fresh: Workspace, sift: Sift, tmp_path: Path
) -> None:
    path = tmp_path / "withdrawn.txt"
    if content is not None:
        path.write_bytes(content)
    options = ("--basis", "x", "--records", path, "-w", fresh.root)
    sift("opt-out", "request", "ann", *options).refused(2, "one record hash a line")


def test_records_are_listed_with_the_hashes_that_a_request_takes(
    fresh: Workspace, sift: Sift, tmp_path: Path
) -> None:
    ann = [record(fresh, row) for row in reviews("ann")]
    listed = sift("contributors", "records", "ann", "--json", "-w", fresh.root).json
    assert sorted(each["record"] for each in listed) == sorted(ann)
    assert {each["split"] for each in listed} == {"train", "held out"}
    told = sift("contributors", "records", "ann", "-w", fresh.root).out
    assert all(each["preview"][:20] in told for each in listed)
    (tmp_path / "withdrawn.txt").write_text(f"\ufeff{ann[3].upper()}\r\n\r\n{ann[1]}\n")
    options = ("--basis", "x", "--records", tmp_path / "withdrawn.txt", "-w", fresh.root)
    filed = sift("opt-out", "request", "ann", *options, "--json").json
    assert filed["records"] == sorted([ann[1], ann[3]])
    assert "2 records" in sift("opt-out", "status", "-w", fresh.root).out


COMMANDS = (
    ["build"],
    ["verify"],
    ["status"],
    ["contributors", "list"],
    ["contributors", "show", "ann"],
    ["opt-out", "run"],
    ["opt-out", "status"],
    ["opt-out", "plan", "x"],
    ["opt-out", "approve", "x", "--by", "x", "--reason", "x"],
    ["opt-out", "hold", "x", "--by", "x", "--reason", "x"],
    ["lineage", "sql", "SELECT 1"],
    ["model", "export", "x"],
    ["stage", "finetune"],
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_a_workspace_every_command_names_the_remedy(
    command: list[str], sift: Sift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sift(*command).refused(2, "is not a workspace", "--workspace", "sift init PATH")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("typo", "phrase"),
    [
        ("  learning_rate: fast", "finetune.learning_rate: "),
        ("  learning_rat: 0.0001", "finetune.learning_rat: there is no such setting"),
        ("  learning_rate: [", "is not YAML"),
    ],
)
@pytest.mark.parametrize("command", [["status"], ["stage", "finetune"]], ids=" ".join)
def test_a_typo_in_params_yaml_is_named(
    command: list[str], typo: str, phrase: str, fresh: Workspace, sift: Sift
) -> None:
    path = fresh.root / "params.yaml"
    text = path.read_text()
    path.write_text(text.replace("  learning_rate: 0.01", typo))
    before = tree(fresh.root)
    sift(*command, "-w", fresh.root).refused(2, phrase)
    assert tree(fresh.root) == before


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["--name", "../x"], "model.name"),
        (["--label", "one"], "needs two labels"),
        (["--label", "a", "--label", "a"], "a label is there twice"),
        (["--label", "", "--label", "b"], "base.labels.0"),
    ],
)
def test_a_wrong_option_of_init_makes_nothing(
    arguments: list[str], phrase: str, sift: Sift, tmp_path: Path
) -> None:
    sift("init", tmp_path / "new", *arguments).refused(2, phrase, "Correct this;")
    assert tree(tmp_path) == {}


def test_init_in_a_folder_that_holds_something_is_refused(sift: Sift, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    sift("init", tmp_path).refused(2, "is not empty")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "command",
    [
        ["contributors", "add", "rows.jsonl"],
        ["opt-out", "request", "ann", "--basis", "gdpr-art-17"],
        ["stage", "finetune"],
        ["stage", "merge"],
        ["stage", "evaluate"],
    ],
    ids=" ".join,
)
def test_a_second_process_writing_at_the_same_time_is_refused(
    command: list[str],
    fresh: Workspace,
    sift: Sift,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_bytes(TWO)
    before = tree(fresh.root)
    with rival(fresh.root):
        sift(*command, "-w", fresh.root).refused(1, "Another process is changing", "Wait for it")
        assert sift("status", "-w", fresh.root).code == 0, "looking is always allowed"
    assert tree(fresh.root) == before


def test_a_real_process_ends_in_one_line_and_the_exit_code(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from flows.cli import main; main()",
        "status",
        "-w",
        str(tmp_path),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Error: ") and len(ended.stderr.splitlines()) == 1


def test_nobody_reading_the_output_is_no_traceback(fresh: Workspace) -> None:
    sift = f"{sys.executable} -c 'from flows.cli import main; main()'"
    query = "SELECT * FROM range(100000)"
    ended = subprocess.run(
        ["bash", "-c", f'{sift} lineage sql "{query}" --json -w {fresh.root} | head -1'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "[\n" and "Traceback" not in ended.stderr, ended.stderr


def test_ctrl_c_is_one_line_and_says_how_to_go_on(
    fresh: Workspace, sift: Sift, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_root: Path) -> Workspace:
        raise KeyboardInterrupt

    monkeypatch.setattr(Workspace, "open", interrupt)
    sift("status", "-w", fresh.root).refused(1, "Interrupted. Run the same command again")
