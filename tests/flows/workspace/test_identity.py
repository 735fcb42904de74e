import stat
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import FlowError, UsageError
from flows.workspace.identity import (
    contributor_key,
    create_secret,
    normal_id,
    read_secret,
    secret_path,
)

SECRET = bytes(range(32))
good = st.text(st.sampled_from("abcXYZ0189._@+:=-äßçñ日本語קרβΩ"), min_size=1, max_size=120).filter(
    lambda text: not text.startswith("-")
)


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        " ",
        "../../x",
        "..\\x",
        "'; drop table contributor; --",
        "x" * 129,
        "x" * 500,
        "😀",
        "nul\x00inside",
        "line\nbreak",
        "tab\tinside",
        "bidi\u202eoverride",
        "isolate\u2066x",
        "zero\u200bwidth",
        "joiner\u200dx",
        "selector\ufe0f",
        "hangul\u3164filler",
        "soft\u00adhyphen",
        "nbsp\u00a0inside",
        "\u0301lonely accent",
        "\ud800surrogate",
        "-rf",
        "--workspace",
        " leading",
        "trailing ",
        "two  spaces",
        "<script>",
        '"quoted"',
        "a/b",
        "½",
    ],
)
def test_a_hostile_id_is_refused_in_one_plain_line(hostile: str) -> None:
    with pytest.raises(UsageError) as caught:
        contributor_key(SECRET, hostile)
    line = str(caught.value)
    assert caught.value.exit_code == 2
    assert line.isascii() and line.isprintable(), "the message itself must be safe to print"
    assert len(caught.value.facts) < 300
    assert "an id is 1 to 128" in caught.value.remedy


def test_an_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(UsageError, match="is a int"):
        normal_id(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fine",
    [
        "a",
        "Ann Lee",
        "ann.lee+reviews@example.org",
        "tofu:author=17",
        "x" * 128,
        "Łukasz",
        "नमस्ते",
        "_x",
        "@handle",
        "مرحبا",
        "4",
    ],
)
def test_an_ordinary_id_has_a_key_that_is_safe_as_a_file_name(fine: str) -> None:
    key = contributor_key(SECRET, fine)
    assert len(key) == 32 and set(key) <= set("0123456789abcdef")


@given(st.text(max_size=200))
def test_every_text_is_either_refused_or_yields_a_key(text: str) -> None:
    try:
        key = contributor_key(SECRET, text)
    except UsageError:
        return
    assert len(key) == 32 and set(key) <= set("0123456789abcdef")
    assert "\x00" not in text and "/" not in text and not text.startswith("-")


@given(good)
def test_composed_and_decomposed_spellings_are_one_contributor(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)
    decomposed = unicodedata.normalize("NFD", text)
    assert contributor_key(SECRET, composed) == contributor_key(SECRET, decomposed)
    assert normal_id(decomposed) == composed


@given(good, good)
def test_different_ids_have_different_keys(one: str, other: str) -> None:
    same = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
    assert (contributor_key(SECRET, one) == contributor_key(SECRET, other)) == same


def test_the_key_depends_on_the_secret_and_never_changes() -> None:
    assert contributor_key(SECRET, "Ann Lee") == "55c41146dac2f5aa582cdbc58419967d"
    assert contributor_key(bytes(32), "Ann Lee") != contributor_key(SECRET, "Ann Lee")


def test_a_secret_is_private_and_read_back(tmp_path: Path) -> None:
    secret = create_secret(tmp_path)
    assert len(secret) == 32 and read_secret(tmp_path) == secret
    assert stat.S_IMODE(secret_path(tmp_path).stat().st_mode) == 0o600
    assert [entry.name for entry in (tmp_path / ".sift").iterdir()] == ["secret.key"]


def test_a_secret_is_never_replaced(tmp_path: Path) -> None:
    secret = create_secret(tmp_path)
    with pytest.raises(UsageError, match="exists already"):
        create_secret(tmp_path)
    assert read_secret(tmp_path) == secret
    assert [entry.name for entry in (tmp_path / ".sift").iterdir()] == ["secret.key"]


def test_a_missing_secret_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sift init"):
        read_secret(tmp_path)


@pytest.mark.parametrize("content", [b"", b"00ff", b"not hex at all", b"\xff" * 64, b"zz" * 32])
def test_a_damaged_secret_is_an_error_and_never_used(tmp_path: Path, content: bytes) -> None:
    create_secret(tmp_path)
    secret_path(tmp_path).write_bytes(content)
    with pytest.raises(FlowError, match="backup"):
        read_secret(tmp_path)
