"""docs/tutorial/own-data.md works as it stands, on a tiny model in place of the reader's own."""

import shlex
from pathlib import Path

import pytest

from flows import cli
from tests.support.pages import blocks, files
from tests.support.paths import DOCS

PAGE = (DOCS / "tutorial/own-data.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_command_of_the_tutorial_works_in_its_order(
    tmp_path: Path,
    tiny_classifier: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base-model").symlink_to(tiny_classifier)
    for name, content in files(PAGE):
        (tmp_path / name).write_text(content)
    for line in "".join(blocks(PAGE, "console")).splitlines():
        program, *arguments = shlex.split(line.removeprefix("$ "))
        if program == "cd":
            monkeypatch.chdir(arguments[0])
            settings = Path("params.yaml")  # the tiny model reads no more
            settings.write_text(settings.read_text().replace("max_length: 256", "max_length: 64"))
            continue
        assert program == "sift"
        assert cli.run(arguments) == 0, (line, capsys.readouterr().err)
    assert (tmp_path / "tickets/reports/opt-out-0001/report.html").is_file()
    assert "opt-out-0001: done" in capsys.readouterr().out
