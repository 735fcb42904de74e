"""The README and the docs say only what works: their commands, SQL, Python and links are run."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import typer.main

from flows import cli
from flows.workspace.workspace import Workspace
from tests.support import tiny
from tests.support.pages import blocks
from tests.support.paths import ROOT
from tests.support.served import mlflow_settings_kept
from tests.support.workspaces import reviews

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def console_lines(text: str = README) -> list[list[str]]:
    lines = [line for block in blocks(text, "console") for line in block.splitlines()]
    return [shlex.split(line.removeprefix("$ ")) for line in lines]


@pytest.fixture
def newcomer(tmp_path: Path, tiny_classifier: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the README's reader has: a base model and a file of rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    (tmp_path / "base-model").symlink_to(tiny_classifier)
    rows = [{**row, "contributor": name} for name in ("ada", "bob") for row in reviews(name)]
    pd.DataFrame(rows).to_json(tmp_path / "reviews.jsonl", orient="records", lines=True)
    return tmp_path


def test_the_readme_s_commands_sql_and_python_work_in_its_order(
    newcomer: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert set(tiny.LABELS) == {"bad", "good"}
    for command, *arguments in console_lines():
        if command == "cd":
            monkeypatch.chdir(arguments[0])
            settings = Path("params.yaml")  # the tiny model reads no more
            text = settings.read_text().replace("max_length: 256", "max_length: 64")
            settings.write_text(text)
            continue
        assert command == "sift"
        assert cli.run(arguments) == 0, (arguments, capsys.readouterr().err)

    (query,) = blocks(README, "sql")
    with Workspace.open(newcomer / "films").lineage.reader() as reader:
        answer = reader.sql(query)
    assert answer.columns == ("lane", "members", "members_sum", "state_value", "equal")
    assert [row[0] for row in answer.rows] == [0, 1]
    assert all(row[-1] for row in answer.rows)

    (code,) = blocks(README, "python")
    names = {"rows": pd.DataFrame({"text": ["a great film"]})}
    with mlflow_settings_kept():
        monkeypatch.chdir(newcomer)
        exec(code, names)  # noqa: S102  the README's own lines


def test_the_command_that_opens_the_lineage_docs_works(built: Workspace) -> None:
    text = (ROOT / "docs/reference/lineage.md").read_text(encoding="utf-8")
    for command, *arguments in console_lines(text):
        assert command == "sift"
        assert cli.run([*arguments, "--workspace", str(built.root)]) == 0


def test_every_make_target_that_the_docs_name_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = {
        target
        for path in DOCS
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", path.read_text("utf-8"), re.MULTILINE)
    }
    assert {"demo", "test", "test-slow", "check", "lock"} <= named
    assert named <= targets


def test_every_pip_line_installs_from_the_pins_what_the_project_has() -> None:
    lines = [
        line
        for path in DOCS
        for block in blocks(path.read_text("utf-8"), "bash")
        for line in block.splitlines()
        if line.startswith("pip ")
    ]
    assert len(lines) == 3
    for line in lines:
        *command, what = shlex.split(line)
        assert command == ["pip", "install", "--constraint", "constraints.txt", "--editable"]
        assert what in (".", ".[dev]", ".[postgres,s3]")
    assert (ROOT / "constraints.txt").is_file()


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_local_link_leads_to_a_file(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize(
    "line", console_lines((ROOT / "docs/how-to/operating.md").read_text("utf-8"))
)
def test_every_command_of_the_operating_page_parses(line: list[str]) -> None:
    program, name, *arguments = line
    assert program == "sift"
    typer.main.get_command(cli.app).commands[name].make_context(name, arguments)
