import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from flows.data.readers import read_rows
from flows.data.rows import CLASSIFICATION, GENERATION, parse_row
from flows.errors import UsageError

ROWS = [
    {"contributor": "007", "text": "one, two", "label": "good"},
    {"contributor": "007", "text": 'a "quoted"\nline\u2028here', "label": "bad"},
]
JSON_LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
CSV = (
    'contributor,text,label\n007,"one, two",good\n007,"a ""quoted""\nline\u2028here",bad\n'.encode()
)


def parquet(path: Path, table: pa.Table) -> bytes:
    pa.parquet.write_table(table, path)
    return path.read_bytes()


def written(tmp_path: Path, name: str, data: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rows.jsonl", JSON_LINES),
        ("rows.ndjson", JSON_LINES),
        ("ROWS.JSONL", JSON_LINES),
        ("bom.jsonl", b"\xef\xbb\xbf" + JSON_LINES),
        ("crlf.jsonl", JSON_LINES.replace(b"\n", b"\r\n")),
        ("blank.jsonl", b"\n  \n" + JSON_LINES.replace(b"\n", b"\n\n")),
        ("no-last-newline.jsonl", JSON_LINES.rstrip(b"\n")),
        ("rows.csv", CSV),
        ("bom.csv", b"\xef\xbb\xbf" + CSV),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, data: bytes) -> None:
    assert [row for _, row in read_rows(written(tmp_path, name, data), CLASSIFICATION)] == ROWS


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    parquet(path, pa.Table.from_pylist(ROWS))
    assert [row for _, row in read_rows(path, CLASSIFICATION)] == ROWS


def test_parquet_keeps_lists_of_messages(tmp_path: Path) -> None:
    row = {"contributor": "a", "messages": [{"role": "user", "content": "b"}]}
    parquet(tmp_path / "chat.parquet", pa.Table.from_pylist([row]))
    assert [found for _, found in read_rows(tmp_path / "chat.parquet", GENERATION)] == [row]


CALL = {"id": "1", "type": "function", "function": {"name": "city", "arguments": '{"of": 7}'}}
CHAT = {
    "contributor": "a",
    "messages": [
        {"role": "user", "content": "where ?"},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "content": "north", "tool_call_id": "1"},
        {"role": "assistant", "content": "north"},
    ],
    "tools": '[{"type": "function", "function": {"name": "city", "most": 2.5}}]',
}


def test_a_chat_with_tools_is_one_record_in_json_lines_and_in_parquet(tmp_path: Path) -> None:
    """Parquet fills what a turn does not have with null; in JSON Lines objects are objects."""
    parquet(tmp_path / "chat.parquet", pa.Table.from_pylist([CHAT]))
    call = {**CALL, "function": {"name": "city", "arguments": {"of": 7}}}
    user, assistant, *rest = CHAT["messages"]
    plain = {**CHAT, "messages": [user, {**assistant, "tool_calls": [call]}, *rest]}
    plain["tools"] = json.loads(str(CHAT["tools"]))
    written(tmp_path, "chat.jsonl", json.dumps(plain).encode())
    found = [
        parse_row(row, GENERATION).stored()
        for name in ("chat.parquet", "chat.jsonl")
        for _, row in read_rows(tmp_path / name, GENERATION)
    ]
    assert found[0] == found[1] == {key: plain[key] for key in ("messages", "tools")}


@pytest.mark.parametrize("structured", ["arguments", "tools"])
def test_what_has_fields_of_its_own_in_every_row_is_no_structure_of_parquet(
    tmp_path: Path, structured: str
) -> None:
    call = {**CALL, "function": {"name": "city", "arguments": {"of": "film"}}}
    chat: dict[str, object] = {**CHAT, "tools": [{"type": "function"}]}
    if structured == "arguments":
        chat = {**CHAT, "messages": [{"role": "assistant", "tool_calls": [call]}]}
    parquet(tmp_path / "chat.parquet", pa.Table.from_pylist([chat]))
    with pytest.raises(UsageError, match=f"holds `{structured}` as a structure.*text of JSON"):
        list(read_rows(tmp_path / "chat.parquet", GENERATION))


@pytest.mark.parametrize(
    ("tools", "complaint"),
    [
        ('[{"n": ' + "9" * 50 + "}]", "a number that is too long"),
        ('[{"n": 1e999}]', "a number that is too large"),
        ('[{"n": NaN}]', "NaN is no JSON value"),
        ('[{"n": 1, "n": 2}]', "'n' is there twice"),
        ("[" * 80 + "]" * 80, "nested too deeply"),
    ],
)
def test_what_is_hostile_in_a_nested_field_is_refused_by_line(
    tmp_path: Path, tools: str, complaint: str
) -> None:
    chat = json.dumps({key: value for key, value in CHAT.items() if key != "tools"})
    path = written(tmp_path, "a.jsonl", f'{chat[:-1]}, "tools": {tools}}}\n'.encode())
    with pytest.raises(UsageError, match=f"a.jsonl line 1 is not JSON: .*{complaint}"):
        list(read_rows(path, GENERATION))
    if "NaN" not in tools:  # which is no JSON wherever it stands
        assert list(read_rows(path, CLASSIFICATION)), "what is not read decides nothing"


def test_a_row_knows_the_line_it_stands_on_blank_lines_counted(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.jsonl", b"\n" + JSON_LINES)
    assert [where for where, _ in read_rows(path, CLASSIFICATION)] == [
        "rows.jsonl line 2",
        "rows.jsonl line 3",
    ]


def test_an_empty_csv_field_is_a_missing_field(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.csv", b"contributor,text,label,item\na,b,c,\n")
    wanted = {"contributor": "a", "text": "b", "label": "c", "item": None}
    assert [row for _, row in read_rows(path, CLASSIFICATION)] == [wanted]


HEAD = b"contributor,text,label\n"


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("rows.jsonl", JSON_LINES + b'{"a": \n', "rows.jsonl line 3 is not JSON"),
        ("rows.jsonl", b"{'a': 1}\n", "line 1 is not JSON"),
        ("rows.jsonl", b'{"a": NaN}\n', "NaN is no JSON value"),
        ("rows.jsonl", b'{"text": 1, "text": 2}\n', "field 'text' is there twice"),
        ("rows.jsonl", b"[" * 200_000, "nested too deeply"),
        ("rows.jsonl", b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested too deeply"),
        ("rows.jsonl", b"[\n" + JSON_LINES + b"]\n", "one JSON object a line"),
        ("rows.jsonl", b'{"a": "caf\xe9"}', "line 1 is not UTF-8"),
        ("rows.jsonl", JSON_LINES.decode().encode("utf-16"), "line 1 is not UTF-8"),
        ("rows.jsonl", b"", "has no rows"),
        ("rows.jsonl", b" \n\n\r\n", "has no rows"),
        ("rows.csv", b"", "has no rows"),
        ("rows.csv", HEAD, "has no rows"),
        ("rows.csv", HEAD + b"1,2,3\n3\n", "row 2 has 1 fields, not as many"),
        ("rows.csv", HEAD + b"1,2,3,4\n", "row 1 has 4 fields, not as many"),
        ("rows.csv", b"text," + HEAD + b"1,2,3,4\n", "two columns 'text'"),
        ("rows.csv", HEAD + b'1,2,"3\n', "is not readable"),
        ("rows.csv", HEAD + b"1,2,caf\xe9\n", "is not readable"),
        ("rows.parquet", b"", "is not readable"),
        ("rows.parquet", b"PAR1" + bytes(50), "is not readable"),
        ("rows.parquet", CSV, "is not readable"),
        ("rows.txt", JSON_LINES, "none of .jsonl"),
        ("rows", JSON_LINES, "none of .jsonl"),
    ],
)
def test_a_malformed_file_is_refused_with_where_and_what(
    tmp_path: Path, name: str, data: bytes, complaint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        list(read_rows(written(tmp_path, name, data), CLASSIFICATION))
    assert complaint in str(caught.value)
    assert caught.value.remedy and ".." not in str(caught.value).replace("...", "")


@pytest.mark.parametrize("harm", [lambda d: d[:-30], lambda d: d[:20] + b"\xff" * 8 + d[28:]])
def test_a_damaged_parquet_file_is_refused(tmp_path: Path, harm: object) -> None:
    whole = parquet(tmp_path / "whole.parquet", pa.Table.from_pylist(ROWS))
    with pytest.raises(UsageError, match="is not readable"):
        list(read_rows(written(tmp_path, "rows.parquet", harm(whole)), CLASSIFICATION))  # type: ignore[operator]


def test_text_in_parquet_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    offsets = pa.array([0, 2, 3], pa.int32()).buffers()[1]
    text = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"\xff\xfea")])
    parquet(
        tmp_path / "rows.parquet",
        pa.table({"contributor": ["a", "a"], "text": text, "label": ["b", "b"]}),
    )
    with pytest.raises(UsageError, match="is not readable"):
        list(read_rows(tmp_path / "rows.parquet", CLASSIFICATION))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.parquet"])
def test_a_folder_or_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is not a file"):
        list(read_rows(tmp_path / name, CLASSIFICATION))
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="is not a file"):
        list(read_rows(tmp_path / name, CLASSIFICATION))
