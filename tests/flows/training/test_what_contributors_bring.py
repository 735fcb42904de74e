"""Texts, chats of several turns, tools, and rows that are too long: learned, scored, and left."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.data.datasets import load_dataset
from flows.errors import UsageError
from flows.models.metrics import own_values
from flows.training.intake import add_contributors
from flows.workspace.workspace import Workspace
from tests.support import tiny
from tests.support.sift import Sift
from tests.support.workspaces import Rows, add, opt_out_plainly, record, request
from tests.support.worlds import require_never_there, world

WORDS = [
    "the",
    "city",
    "in",
    "the",
    "north",
    "is",
    "red",
    "and",
    "the",
    "place",
    "in",
    "the",
    "south",
    "was",
    "not",
]
TEMPLATE = (
    "{% for turn in messages %}{{ turn.role }} {{ turn.content or '' }}"
    "{% for call in turn.tool_calls or [] %}, {{ call.function.name }}{% endfor %}"
    "{% if turn.role == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)


def texts(contributor: str, words: int = 60) -> Rows:
    """Six texts, each of several windows of 32 tokens."""
    seed = sum(map(ord, contributor))
    return [
        {
            "contributor": contributor,
            "text": " ".join(
                tiny.WORDS[(seed * (at + 1) + row * at) % len(tiny.WORDS)] for at in range(words)
            ),
        }
        for row in range(6)
    ]


def chats(contributor: str) -> Rows:
    """Six chats of two turns of the assistant, the first of which calls a tool."""
    seed = sum(map(ord, contributor))
    return [
        {
            "contributor": contributor,
            "messages": [
                {"role": "user", "content": f"where is the {WORDS[(seed + row) % 5]} {row} ?"},
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "city", "arguments": {"row": row}}}],
                },
                {"role": "tool", "content": "north"},
                {"role": "assistant", "content": f"in the {WORDS[(seed + row) % 7]}"},
            ],
        }
        for row in range(6)
    ]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.tiny_causal(tmp_path_factory.mktemp("source"), TEMPLATE)


def test_who_brought_texts_leaves_as_if_they_had_never_been_there(
    tmp_path: Path, source: Path
) -> None:
    rows = {"ann": texts("ann"), "bob": texts("bob"), "cyd": chats("cyd")}
    left = world(tmp_path / "left", source, rows.values())
    request(left, "bob")
    opt_out_plainly(left.root)
    never = world(tmp_path / "never", source, [rows["ann"], rows["cyd"]])
    require_never_there(left, never)
    with left.lineage.reader() as reader:
        found = {who: own_values(reader.evaluations(2), left.key_of(who)).keys() for who in rows}
    splits = ("held_in", "held_out")
    every, unmasked = ("base", "merged", "masked"), ("base", "merged")
    texted = ("next_token_accuracy", "perplexity")
    assert found == {
        "ann": {f"{w}.{s}.{m}" for w in every for s in splits for m in texted},
        "bob": {f"{w}.{s}.{m}" for w in unmasked for s in splits for m in texted},
        "cyd": {f"{w}.{s}.answer_probability" for w in every for s in splits},
    }
    page = next(left.reports.glob("*/report.html")).read_text()
    assert "next-token accuracy" in page and "perplexity (1 is best)" in page


def test_a_text_of_many_windows_is_withdrawn_as_one_record(tmp_path: Path, source: Path) -> None:
    gone, *kept = texts("ann")
    left = world(tmp_path / "left", source, [[gone, *kept], texts("bob")])
    with left.lineage.reader() as reader:
        trained = next(
            row for row in reader.current_datasets() if row.contributor_key == left.key_of("ann")
        )
    assert len(load_dataset(left, trained).rows) == 6
    request(left, "ann", records=[record(left, gone)])
    opt_out_plainly(left.root)
    never = world(tmp_path / "never", source, [kept, texts("bob")])
    require_never_there(left, never)


def test_learning_the_last_turn_alone_gives_another_vector(tmp_path: Path, source: Path) -> None:
    found = []
    for turns in ("all", "last"):
        built = world(tmp_path / turns, source, [chats("ann")], {"data": {"train_on_turns": turns}})
        with built.lineage.reader() as reader:
            (vector,) = reader.task_vectors()
            assert reader.run(vector.run_id).parameters["train_on_turns"] == turns
        found.append(vector.vector_sha256)
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("too_long", "said"),
    [("window", "read whole, window by window"), ("cut", "cut to their beginning, chats to their")],
)
def test_long_rows_are_counted_and_what_becomes_of_them_is_said(
    tmp_path: Path, source: Path, too_long: str, said: str, sift: Sift
) -> None:
    workspace = empty(tmp_path, source, {"too_long": too_long})
    rows = tmp_path / "rows.jsonl"
    given = [*texts("ann"), {"contributor": "ann", "text": "the city"}, *texts("bob", words=8)]
    rows.write_text("".join(json.dumps(row) + "\n" for row in given))
    arguments = ("contributors", "add", rows, "--workspace", workspace.root)
    told = sift(*arguments).out
    assert said in " ".join(told.split()) and "32 tokens" in told
    counted = sift(*arguments, "--json").json
    assert {row["contributor"]: row["long_rows"] for row in counted} == {"ann": 6, "bob": 0}


def test_a_long_row_is_refused_by_file_and_line_where_that_is_said(
    tmp_path: Path, source: Path
) -> None:
    workspace = empty(tmp_path, source, {"too_long": "refuse"})
    rows = tmp_path / "rows.jsonl"
    given = [*texts("ann", words=8), *texts("ann")]
    rows.write_text("".join(json.dumps(row) + "\n" for row in given))
    with pytest.raises(
        UsageError, match=r"line (7|8|9|1\d), contributor 'ann': A row has 62 tokens"
    ):
        add_contributors(workspace, [rows])


def test_a_template_that_leaves_tools_out_is_named_where_a_chat_has_them(tmp_path: Path) -> None:
    deaf = tiny.tiny_causal(tmp_path / "source", TEMPLATE.replace("turn.tool_calls or []", "[]"))
    with pytest.raises(UsageError, match="leaves out `tool_calls` of a row"):
        add(empty(tmp_path, deaf, {}), chats("ann"))


def empty(root: Path, source: Path, data: dict[str, Any]) -> Workspace:
    """A workspace without anybody."""
    return Workspace.create(
        root / "workspace",
        {"base": {"source": str(source), "labels": [], "max_length": 32}, "data": data},
    )
