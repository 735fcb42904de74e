"""The log is JSON, says what it is about, and holds nothing that a person could be known by."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flows import logging as logs
from flows.cli import run
from flows.errors import UsageError
from flows.logging import FILE, about, event, keep_in, logger, told
from flows.ui.run_events import observed
from flows.workspace.identity import normal_id
from flows.workspace.log_redaction import redacted
from flows.workspace.workspace import Workspace
from tests.support.sift import Sift
from tests.support.workspaces import request


def lines(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / FILE).read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """The root of a workspace that is nothing but its log."""
    (tmp_path / ".sift").mkdir()
    keep_in(tmp_path)
    yield tmp_path
    keep_in(tmp_path / "gone")


def test_an_event_is_one_line_with_time_level_and_what_it_is_about(log: Path) -> None:
    outer = about(run="01a2", requests=["opt-out-0001"], contributors=["ab" * 16])
    with outer, about(requests=["opt-out-0002"]), told("opt_out.removed"):
        event("subtracted", count=3)
    event("outside")

    began, inner, ended, outside = lines(log)
    assert datetime.fromisoformat(began["time"]).tzinfo == UTC
    assert {"level": "INFO", "event": "subtracted", "count": 3}.items() <= inner.items()
    assert (inner["run"], inner["requests"]) == ("01a2", ["opt-out-0002"])
    assert inner["contributors"] == ["ab" * 16]
    assert ended["event"] == "opt_out.removed ended" and ended["seconds"] >= 0
    assert outside.keys() == {"time", "level", "event"}
    assert (log / FILE).stat().st_mode & 0o777 == 0o600


def test_a_failure_is_logged_by_its_kind_alone(log: Path) -> None:
    with pytest.raises(ValueError, match="tully"), told("build"):
        raise ValueError("tully is in these words")

    failed = lines(log)[-1]
    assert (failed["level"], failed["event"]) == ("ERROR", "build failed")
    assert failed["error"] == "ValueError" and "tully" not in json.dumps(failed)


def test_the_log_is_put_aside_when_it_is_long_and_the_oldest_goes(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 200)
    for number in range(100):
        event("counted", count=number)

    files = sorted((log / FILE).parent.glob("sift.jsonl*"))
    assert len(files) == 1 + logs.KEPT
    assert lines(log)[-1]["count"] == 99
    assert json.loads((log / f"{FILE}.1").read_text().splitlines()[-1])["count"] < 99


def test_lines_of_several_processes_do_not_mix(log: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from flows.logging import event, keep_in;"
        "keep_in(Path(sys.argv[1])); [event('counted', count=n) for n in range(200)]"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(log)]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]

    counts = [line["count"] for line in lines(log)]
    assert sorted(counts) == sorted(list(range(200)) * 3)


def test_a_log_that_cannot_be_written_stops_nothing(log: Path) -> None:
    (log / FILE.parent).write_text("a file where the folder would be")

    event("lost")


def test_standard_error_gets_the_same_lines_where_it_is_asked_for(
    fresh: Workspace,
    sift: Sift,
) -> None:
    try:
        ended = sift("--log", "json", "opt-out", "status", "-w", fresh.root)
    finally:
        logger.removeHandler(logs._stderr)

    assert json.loads(ended.err)["event"] == "command ended"
    assert json.loads(ended.err) == lines(fresh.root)[-1]
    assert json.loads(ended.err)["command"] == "opt-out status"


@pytest.mark.slow
def test_prefect_run_pages_are_told_what_the_log_says() -> None:
    code = (
        "from flows.telemetry import hush; hush(); import logging;"
        "from prefect.logging.configuration import setup_logging; setup_logging();"
        "print([type(h).__name__ for h in logging.getLogger('sift').handlers])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "APILogHandler" in done.stdout


REFUSED = [
    ("opt-out", "request", "ann", "--basis", "gdpr-art-17"),
    ("opt-out", "request", "nobody we know", "--basis", "gdpr-art-17"),
    ("opt-out", "request", "not\nan id", "--basis", "x"),
    ("contributors", "add", "ann.jsonl"),
    ("contributors", "records", "nobody we know"),
]


def test_errors_are_logged_with_their_remedies_and_without_names(
    fresh: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh.root.parent)
    Path("ann.jsonl").write_text('{"contributor": "ann", "text": "secret words"}\n')
    request(fresh, "ann")

    for arguments in REFUSED:
        assert run([*arguments, "-w", str(fresh.root)]) == 2
        *_, error, ended = lines(fresh.root)
        assert error["level"] == "ERROR" and error["found"] and error["remedy"]
        assert (ended["command"], ended["exit_code"]) == (" ".join(arguments[:2]), 2)

    text = (fresh.root / FILE).read_text()
    assert "sift opt-out status opt-out-0001" in text  # our own words stay
    for name in ("ann", "bob", "nobody we know", r"not.{1,2}an id", "secret words"):
        assert re.search(rf"\b{name}\b", text) is None, name


IDS = st.text(st.characters(categories=["L", "N"], include_characters=" ._@+:=-'\"\\"), max_size=30)


@given(IDS.filter(lambda text: len(text.strip()) > 3), st.sampled_from(["{!r}", '"{}"', "{!a}"]))
@example("0 THE 0", "{!r}")  # a word of ours that was typed goes, too
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_quotes_or_was_typed_is_taken_out(name: str, how: str) -> None:
    try:
        shown = normal_id(name)
    except UsageError as error:  # the error itself shows what was typed
        assert name not in redacted(error.facts, [name], None)
        return
    ours = "; the workspace's file is there."
    text = f"Contributor {how.format(shown)} opted out, {shown} too{ours}"

    found = redacted(text, [shown], None)

    assert shown.casefold() not in found.casefold().replace("contributor", "")
    assert found.endswith(ours) or any(
        re.search(rf"\b{word}\b", ours, re.IGNORECASE) for word in re.findall(r"\w+", shown)
    )


def test_ids_that_lineage_knows_are_taken_out_wherever_they_stand(fresh: Workspace) -> None:
    found = redacted("Rows of ann and Bob, of annotators", [], fresh.root)
    assert found == "Rows of ‹…› and ‹…›, of annotators"


def test_where_ids_cannot_be_asked_for_nothing_is_logged(fresh: Workspace) -> None:
    (fresh.root / "lineage.duckdb").write_bytes(b"no database")
    assert redacted("Rows of ann", [], fresh.root) == ""


def test_the_log_of_a_step_names_request_run_and_contributor_by_key(fresh: Workspace) -> None:
    removal = request(fresh, "ann")
    keep_in(fresh.root)
    with observed(fresh, "opt_out.removed", [removal.request_id]):
        pass

    ended = lines(fresh.root)[-1]
    assert ended["requests"] == [removal.request_id]
    assert ended["contributors"] == [fresh.key_of("ann")]
    assert len(ended["run"]) == 36


def test_the_root_logger_of_others_hears_nothing(log: Path) -> None:
    assert logging.getLogger("sift").propagate is False
