"""docs/how-to/daily-work.md is one session that works: its `bash` blocks are run in order."""

import shlex
from pathlib import Path

import pytest

from tests.support.pages import blocks, files
from tests.support.paths import ROOT
from tests.support.sift import Ended, Sift
from tests.support.traces import traces

DOCS = (ROOT / "docs/how-to/daily-work.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_session_of_the_docs_works(
    sift: Sift,
    tmp_path: Path,
    tiny_classifier: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "minilm").symlink_to(tiny_classifier)
    for name, content in files(DOCS):
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    ran: dict[str, Ended] = {}
    for line in "".join(blocks(DOCS, "bash")).splitlines():
        program, *arguments = shlex.split(line)
        if program == "cd":
            monkeypatch.chdir(arguments[0])
            continue
        assert program == "sift", "a bash block holds sift and cd alone"
        ran[line] = sift(*arguments)
        assert (ran[line].code, ran[line].err) == (0, ""), (line, ran[line].err)
        if line == "sift contributors records kagan --json":
            hashes = {each["preview"]: each["record"] for each in ran[line].json}
            (tmp_path / "withdrawn.txt").write_text(hashes["bad: awful and sad"])
        if arguments[0] == "init":
            _hurry(Path(arguments[1]) / "params.yaml")
    assert "opt-out-0001: done" in ran["sift opt-out run"].out
    assert "opt-out-0002: done, 1 record withdrawn" in ran["sift opt-out run"].out
    assert ran["sift status --json"].json["champion"] == 1
    assert ran["sift opt-out status opt-out-0001 --json"].json[0]["next_step"] is None
    assert (tmp_path / "for-tully" / "config.json").is_file()
    found = {"id": b"tully", "text": b"quite a dull story", "record": b"awful and sad"}
    assert traces(tmp_path / "films", found) == {}
    assert traces(tmp_path / "films", {"somebody who stays": b"poor place"}) != {}


def _hurry(params: Path) -> None:
    """Two steps on one thread, of a model with few positions, say as much about the docs."""
    text = params.read_text().replace("steps: 20", "steps: 2").replace("threads: 2", "threads: 1")
    text = text.replace("max_length: 256", "max_length: 64")
    params.write_text(text)
