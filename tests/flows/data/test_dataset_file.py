"""Whatever a text holds, its row is stored as one line and read back as it was."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.data.dataset_file import StoredRowsError, is_salted, row_lines, stored_bytes, stored_rows
from tests.support.separators import SEPARATING

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
LABELLED = st.fixed_dictionaries({"text": TEXTS, "label": TEXTS}, optional={"item": TEXTS})
TURNS = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), TEXTS).map(list))
ANSWERED = st.fixed_dictionaries({"turns": TURNS, "answer": TEXTS}, optional={"item": TEXTS})
ROWS = st.lists(LABELLED | ANSWERED)


@given(ROWS, ROWS)
def test_rows_are_read_back_as_they_were_stored(
    train: list[dict[str, Any]], test: list[dict[str, Any]]
) -> None:
    data = row_lines(train, test)
    salted = stored_bytes("0" * 64, data)

    assert stored_rows(salted) == stored_rows(data) == (train, test)
    assert is_salted(salted) and not is_salted(data)
    assert data.count(b"\n") == len(train) + len(test)


def test_no_character_ends_a_row() -> None:
    """Each by itself, so that none hides behind another."""
    rows = [{"text": f"a{char}b", "label": char, "item": f"{char}c"} for char in SEPARATING]

    assert len(SEPARATING) > 200
    assert stored_rows(row_lines(rows, rows)) == (rows, rows)


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"7\n",
        b'{"salt":"0"}\n',
        b'{"salt":"' + b"0" * 64 + b'"}',
        stored_bytes("0" * 64, stored_bytes("0" * 64, b"")),
        b'{"split":"train"',
        b'{"split":"train","text":"a"}',
        b'{"split":"train","text":"a"}\n\n',
        b'{"split":"train","text":"a"}\r\n',
        b'{"split": "train","text":"a"}\n',
        b'{"text":"a","split":"train"}\n',
        b'{"split":"train","text":"a","text":"b"}\n',
        b'{"split":"train","text":"\\u0061"}\n',
        b'{"split":"train","text":NaN}\n',
        b'{"split":"none","text":"a"}\n',
        b'{"split":["train"],"text":"a"}\n',
        b'{"split":"test","text":"a"}\n{"split":"train","text":"a"}\n',
        b'{"split":"train","text":"\xff"}\n',
        b'{"split":"train","text":"\\ud800"}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_bytes_that_we_never_write_are_refused_and_not_repeated(data: bytes) -> None:
    with pytest.raises(StoredRowsError) as caught:
        stored_rows(data)
    assert caught.value.facts == "This is not a file of rows as it was stored."
