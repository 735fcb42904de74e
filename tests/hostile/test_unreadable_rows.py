"""Whoever gives rows that the base model cannot read: refused when they come in, by file and line.

And whoever is in all the same can leave: what cannot be asked never stops a removal.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.errors import UsageError
from flows.opt_out import take_steps
from flows.training.intake import add_contributors
from flows.workspace.settings_file import write_settings
from flows.workspace.workspace import Workspace
from flows.workspace.workspace import template as template_file
from sift_core import folder_sha256
from sift_core.errors import ModelError
from tests.support import tiny
from tests.support.workspaces import (
    add,
    build_plainly,
    make_workspace,
    questions,
    request,
    settings,
)

NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System is refused') }}"
    "{% endif %}{{ m.content }} {% endfor %}"
)
"""A chat template as some families of models have it."""


def chat(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "a question that is too long": (
        {"question": "what " * 40, "answer": "red"},
        "more than the 32 that are read",
    ),
    "an answer that is too long": (
        {"question": "what ?", "answer": "red " * 40},
        "more than the 32 that are read",
    ),
    "a role that the chat template refuses": (
        chat(("system", "be nice"), ("user", "what ?"), ("assistant", "red")),
        "System is refused",
    ),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("unreadable")
    source = tiny.tiny_causal(root / "source", chat_template=NO_SYSTEM)
    return make_workspace(root / "workspace", source, [], labels=(), too_long="refuse")


@pytest.mark.parametrize("case", CASES)
def test_a_row_that_cannot_be_read_is_refused_by_file_line_and_contributor(
    case: str, workspace: Workspace, tmp_path: Path
) -> None:
    row, words = CASES[case]
    path = tmp_path / "given.jsonl"
    rows = [*questions("ann"), {"contributor": "ann", **row}]
    path.write_text("".join(json.dumps(line) + "\n" for line in rows))
    with pytest.raises(UsageError, match=rf"given\.jsonl line 7, contributor 'ann': .*{words}"):
        add_contributors(workspace, [path])
    with workspace.lineage.reader() as reader:
        assert reader.contributors() == []
    assert list(workspace.data.iterdir()) == []


def test_a_base_that_cannot_work_is_refused_before_anybody_is_added(tmp_path: Path) -> None:
    source = tiny.tiny_causal(tmp_path / "source", chat_template="{{ raise_exception('never') }}")
    workspace = Workspace.create(tmp_path / "workspace", settings(source, ()))
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in questions("ann")))
    with pytest.raises(ModelError, match="never"):
        add_contributors(workspace, [path])
    with workspace.lineage.reader() as reader:
        assert reader.contributors() == []
    assert not workspace.base.exists() and not (workspace.root / "base.json").exists()


def tight(contributor: str) -> list[dict[str, Any]]:
    """Rows that just fit: in other words they are longer than what is read."""
    rows = questions(contributor)
    for row in rows:
        row["question"] += " the film" * 8
    return rows


def refuse_rows_for_another_base(workspace: Workspace) -> None:
    """The base that a merge was made on is not made anew beside it: a build does both."""
    params, before = workspace.root / "params.yaml", folder_sha256(workspace.base)
    text = params.read_text()
    params.write_text(text.replace("max_length: 32", "max_length: 30"))
    with pytest.raises(UsageError, match=r"other settings.*sift build"):
        add(Workspace.open(workspace.root), questions("cleo"))
    params.write_text(text)
    assert folder_sha256(workspace.base) == before


@pytest.mark.slow
def test_who_cannot_be_asked_in_other_words_can_leave_and_the_report_says_what_was_left_out(
    tmp_path: Path, tiny_causal: Path
) -> None:
    """It ended in "A row has 33 tokens, more than the 32 that are read", for good."""
    root = tmp_path / "workspace"
    rows = [tight("ann"), questions("bob")]
    workspace = make_workspace(root, tiny_causal, rows, labels=(), too_long="refuse")
    build_plainly(root)
    refuse_rows_for_another_base(workspace)
    removal = request(workspace, "ann")
    with workspace.lock():
        take_steps([removal])
    report = json.loads((workspace.reports / removal.request_id / "report.json").read_text())
    audit = report["audit"]
    assert audit["passed"]
    (left,) = audit["left_out"]
    assert left["because"] == "longer than the 32 tokens that are read"
    assert left["probe"] == "probability of each, asked in other words"
    assert {probe["name"] for probe in audit["probes"]}.isdisjoint({left["probe"]})
    page = (workspace.reports / removal.request_id / "report.html").read_text()
    assert "longer than the 32 tokens that are read" in page


@pytest.mark.parametrize(
    "changed",
    [
        {"max_length": 28},
        pytest.param({"seed": 5}, marks=pytest.mark.slow),
        pytest.param({"source": "/nowhere"}, marks=pytest.mark.slow),
    ],
)
def test_after_a_first_build_that_failed_the_base_is_made_and_who_was_added_can_leave(
    tmp_path: Path,
    tiny_causal: Path,
    changed: dict[str, Any],
) -> None:
    """`base/` stood, nothing was merged, and the opt-out asked for a build that could not be."""
    root = tmp_path / "workspace"
    workspace = make_workspace(root, tiny_causal, [tight("ann"), questions("bob")], labels=())
    wanted = settings(tiny_causal, ())
    wanted["base"].update(changed)
    write_settings(template_file("params.yaml"), root / "params.yaml", wanted)
    workspace = Workspace.open(root)
    removal = request(workspace, "ann")
    with workspace.lock():
        take_steps([removal])
    assert removal.next_step() is None
