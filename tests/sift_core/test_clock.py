"""A finetuning does not know the day, the time zone, the language or the order of a dictionary."""

import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sift_core.clock import DATE, reads_clock, stopped, strftime_now
from sift_core.errors import UnreadableRowError
from tests.support import tiny

TEMPLATE = (
    "{{ strftime_now('%d %b %Y') }}{{ date_string if date_string is defined else '' }} "
    "{% for m in messages %}{{ m.content }} {% endfor %}"
)
_FINETUNE = """
import sys
from datetime import datetime
from pathlib import Path

day = sys.argv[2]

class Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromisoformat(day).replace(tzinfo=tz)

from transformers.utils import chat_template_utils
chat_template_utils.datetime = Clock

import locale
try:
    locale.setlocale(locale.LC_ALL, "")
except locale.Error:
    pass
from sift_core import Chat, FinetuneSettings, FullWeights, Grid, SignVector
from sift_bytes import sha256_of
from sift_core import Reading, encode_examples, finetune, load_base, prepare_base

folder = Path(sys.argv[3])
prepare_base(sys.argv[1], folder, (), 0, 32)
base = load_base(folder, (), FullWeights())
rows = [Chat.of(text, "red") for text in ("what is the", "who lives in the city")]
examples = encode_examples(rows, base.tokenizer, (), Reading(32))
made = finetune(base, examples, SignVector(1), Grid(24), FinetuneSettings(steps=2))
print(base.base_id, sha256_of(made.vector.to_bytes()), examples.sequences[0]["input_ids"])
"""
SURROUNDINGS = [
    ("2026-11-28", {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "0"}),
    ("1999-12-31", {"TZ": "America/New_York", "LANG": "de_DE.UTF-8", "LANGUAGE": "tr"}),
]
"""A day, and what of the environment could be read."""


@pytest.mark.slow
def test_the_same_rows_give_the_same_bits_on_any_day_and_in_any_language(tmp_path: Path) -> None:
    source = tiny.tiny_causal(tmp_path / "source", chat_template=TEMPLATE)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))
    }
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _FINETUNE, str(source), day, str(tmp_path / str(number))],
            env={**kept, **own, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, (day, own) in enumerate(SURROUNDINGS)
    ]
    said = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0] * len(running)
    assert len(said) == 1 and said != {""}


@given(st.lists(st.sampled_from([*"aAbBcdDeFgGhHIjmMnpPrRsSTuUVwWxXyYZ%"]), max_size=4))
def test_a_date_is_written_as_the_c_library_does_in_english(letters: list[str]) -> None:
    form = " ".join(f"%{letter}" for letter in letters)
    assert strftime_now(form) == DATE.strftime(form)


def test_a_date_is_english_whatever_language_the_process_speaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Turkish(datetime):
        """As a C library in another locale: every word is another."""

        def strftime(self, format: str) -> str:
            assert not re.search(r"%[aAbBchprxXZ]", format.replace("%%", "")), format
            return super().strftime(format)

    monkeypatch.setattr("sift_core.clock.DATE", Turkish(2024, 7, 26))
    said = strftime_now("%a %A %b %B %h %p %r %x %X %c %Z %d")
    assert said.startswith("Fri Friday Jul July Jul AM") and said.endswith("UTC 26")


def test_a_template_without_a_date_reads_no_clock() -> None:
    assert reads_clock(TEMPLATE) and not reads_clock("{{ messages }}") and not reads_clock(None)


def test_a_template_has_the_date_written_in() -> None:
    """As Llama 3 and others read it."""
    text = '{% if strftime_now is defined %}{% set d = strftime_now( "%d %b %Y" ) %}{% endif %}'
    assert stopped(text) == "{% if strftime_now is defined %}{% set d = '26 Jul 2024' %}{% endif %}"
    assert stopped("{{ messages }}") == "{{ messages }}"


@pytest.mark.parametrize(
    "text",
    [
        "{% set now = strftime_now %}{{ now('%d') }}",
        "{{ strftime_now(form) }}",
        "{{ f(strftime_now) }}",
    ],
)
def test_a_clock_that_cannot_be_stopped_is_refused(text: str) -> None:
    with pytest.raises(UnreadableRowError, match="reads the clock"):
        stopped(text)
