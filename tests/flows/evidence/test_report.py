"""The report: its published form, and a page on which nothing from outside is markup."""

import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from flows.erasure.results import Audit, Found, LeftOut, Probe, Quality, Registered, Removal, Sides
from flows.evidence.certificates import CERTIFICATE
from flows.evidence.report import (
    FORMAT,
    Comparison,
    Deadline,
    Decision,
    Destroyed,
    Dropped,
    Moment,
    Recipient,
    Report,
    Server,
)
from flows.evidence.report_page import page
from flows.models.checks import Check, Verification
from flows.workspace.keyring import Keys
from flows.workspace.workspace import Workspace
from lineage.certificates.attestation import AttestationStatement
from lineage.certificates.keys import KeyStatement
from lineage.certificates.statement import Statement
from lineage.opt_out import STEPS
from lineage.state_export import ExportedMember, ExportedState
from tests.support.departures import Departure
from tests.support.paths import SCHEMAS
from tests.support.population import key, sha

PUBLISHED = {
    "opt-out-report-2": Report,
    "opt-out-certificate-1": Statement,
    "rebuild-attestation-1": AttestationStatement,
    "key-record-1": KeyStatement,
    "lineage-state-1": ExportedState,
    "lineage-member-1": ExportedMember,
}
START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script> & \"so on\" {{ 7 * 7 }} \u202e"


def report(**changes: Any) -> Report:
    """A report with every section filled, its texts hostile; `changes` in place of parts."""
    digests = ["1", str(2**64 - 1)]
    fields: dict[str, Any] = {
        "format": FORMAT,
        "request_id": "opt-out-0001",
        "contributor_key": key("cyd"),
        "records": None,
        "basis": HOSTILE,
        "received_at": START,
        "written_at": START + timedelta(days=3),
        "model": "films",
        "verdict": "removed exactly, 1 of 1 checks passed",
        "timeline": [
            Moment(step=step, at=START + timedelta(hours=number))
            for number, step in enumerate(STEPS)
        ],
        "deadlines": [
            Deadline(
                law=HOSTILE,
                kind="answer",
                due_at=START + timedelta(days=31),
                met_at=None,
                state="open",
            )
        ],
        "approval": [
            Decision(decision="approved", actor=HOSTILE, reason=HOSTILE, decided_at=START)
        ],
        "servers": [
            Server(server="127.0.0.1:8000", held=1, version=2, taken_at=START),
            Server(server=HOSTILE, held=1, version=None, taken_at=None),
        ],
        "recipients": [
            Recipient(
                recipient=HOSTILE, purpose=HOSTILE, model="films", version=1, disclosed_at=START
            )
        ],
        "found": Found(
            datasets=[sha("data")],
            task_vectors=[sha("vector")],
            masks=[sha("mask")],
            merge_states=[sha("before")],
            model_versions=[1],
        ),
        "removal": Removal(
            was_member=True,
            vector="stored",
            requests=["opt-out-0001", "opt-out-0002"],
            state_before=sha("before"),
            state_after=sha("after"),
            members_before=4,
            members_after=2,
            digest_before=digests,
            digest_of_change=digests,
            digest_after=digests,
        ),
        "verification": Verification(
            state_seq=3,
            state_sha256=sha("after"),
            members=2,
            level="rebuilt",
            checks=[Check(name="merge rebuilt from vectors", passed=True, found=HOSTILE)],
            passed=True,
        ),
        "comparison": Comparison(
            state_sha256=sha("after"),
            reference_sha256=sha("after"),
            same_bytes=True,
            difference=0.0,
        ),
        "audit": Audit(
            compared="two-sided",
            tolerance=0.0,
            passed=True,
            probes=[
                Probe(name=HOSTILE, points=7, model=0.5, reference=0.5, difference=0, passed=True),
                Probe(
                    name="relearned, by step",
                    points=2,
                    model=[1.5, 1.25],
                    reference=[1.5, 1.25],
                    difference=0.0,
                    passed=True,
                ),
            ],
            left_out=[LeftOut(probe=HOSTILE, rows=2, because="longer than the 64 that are read")],
        ),
        "quality": Quality(
            contributor=Sides(
                before={
                    "masked.held_out.accuracy": 0.9,
                    "merged.held_out.accuracy": 0.5,
                    "merged.held_out.perplexity": 31.5,
                },
                after={"merged.held_out.accuracy": 0.25},
            ),
            retained=Sides(
                before={"base.held_in.accuracy.mean": 0.1},
                after={"base.held_in.accuracy.mean": 0.1},
            ),
        ),
        "registered": Registered(
            model="films",
            version=2,
            served_sha256=sha("served"),
            members_sha256=sha("members"),
            state_sha256=sha("after"),
        ),
        "destroyed": [
            Destroyed(
                place="workspace",
                kind="dataset",
                locator=HOSTILE,
                bytes=1234567,
                destroyed_at=START,
                absent_at=START,
            ),
            Destroyed(
                place="dvc-remote",
                kind="mask",
                locator="an object",
                bytes=None,
                destroyed_at=None,
                absent_at=None,
            ),
        ],
        "kept_because_shared": [HOSTILE],
        "not_kept_after_merge": [Dropped(vector_sha256=sha("vector"), at=START)],
        "claimed": ["One thing."],
        "not_claimed": ["Another thing."],
        "repeat": ["sift verify"],
    }
    return Report(**fields | changes)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_schemas_are_what_the_code_reads_and_writes(
    name: str, update_goldens: bool
) -> None:
    schema = PUBLISHED[name].model_json_schema(by_alias=True, mode="validation")
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    path = SCHEMAS / f"{name}.schema.json"
    if update_goldens:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text
    jsonschema.Draft202012Validator.check_schema(schema)


def require_valid(document: Any, name: str) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(
        document
    )


def test_what_a_real_opt_out_leaves_fits_the_published_schemas(
    left: Workspace, departure: Departure
) -> None:
    folder = left.reports / departure.result.request_id
    require_valid(json.loads((folder / "report.json").read_text()), "opt-out-report-2")
    envelope = json.loads((folder / CERTIFICATE).read_text())
    require_valid(json.loads(b64decode(envelope["payload"])), "opt-out-certificate-1")
    for path in Keys(left.root).public_folder.glob("*.dsse.json"):
        record = json.loads(b64decode(json.loads(path.read_text())["payload"]))
        require_valid(record, "key-record-1")


def test_a_document_with_another_field_does_not_fit() -> None:
    document = json.loads(report().model_dump_json())
    require_valid(document, "opt-out-report-2")
    with pytest.raises(jsonschema.ValidationError):
        require_valid({**document, "more": 1}, "opt-out-report-2")


def test_the_json_of_a_report_is_the_golden_one(update_goldens: bool) -> None:
    golden = Path(__file__).parent / "goldens" / "report.json"
    text = report(basis="gdpr-art-17").model_dump_json(indent=2) + "\n"
    if update_goldens:
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


# ---- the page ----------------------------------------------------------------------------------


class _Page(HTMLParser):
    """The texts of a page, its headings and the depth of open tags; refuses what would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.headings: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {"src", "href", "onload", "onclick"} & dict(attrs).keys()
        if tag not in ("meta", "br", "line", "circle", "path"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["h2"]:
            self.headings.append(data)
        self.text += data


def test_the_page_has_every_section_and_nothing_to_load() -> None:
    text = page(report())
    read = _Page(text)

    assert read.headings == [
        "Identity and approval",
        "Timeline and deadlines",
        "What was found",
        "What was removed, and how exactly",
        "Compared with a model that never saw it",
        "Asked for what left",
        "Quality before and after",
        "Destroyed, and looked for again",
        "Servers",
        "Whom to tell",
        "What is claimed, and what is not",
        "How to check this report",
    ]
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(read.tags)
    assert "url(" not in text and "@import" not in text and "http" not in text


def test_nothing_from_outside_is_markup_on_the_page() -> None:
    text = page(report())

    assert "<script" not in text
    read = _Page(text).text
    assert read.count("<script>alert('x')</script> & \"so on\" {{ 7 * 7 }} \\u202e") == 12
    assert "\u202e" not in text


def test_a_mean_of_a_sample_shows_its_interval_and_others_show_none() -> None:
    mean = {"masked.held_out.accuracy.mean": 0.81}
    sides = [
        Sides(before=own, after=own) for own in (mean, {**mean, f"{next(iter(mean))}_margin": 0.03})
    ]
    whole, sampled = (
        page(report(quality=Quality(contributor=Sides(before={}, after={}), retained=own)))
        for own in sides
    )
    assert "0.810 → 0.810" in whole and "Not everyone was measured" not in whole
    assert "0.81 ± 0.03 → 0.81 ± 0.03" in sampled and "Not everyone was measured" in sampled
    assert sampled.count("<line") == whole.count("<line") + 2


def test_what_is_pending_shows() -> None:
    read = _Page(page(report()))
    assert "1 pending" in read.text and "1.2 MB" in read.text
    assert "1.5000 → 1.2500" in read.text
    assert "0.900 → –" in read.text and "0.500 → 0.250" in read.text


def test_what_a_workspace_does_not_keep_is_said() -> None:
    read = _Page(page(report(deadlines=None, approval=None, recipients=None)))
    for missing in ("no separate approval", "no table of deadlines", "no record of who received"):
        assert missing in read.text


def test_a_report_without_a_reference_claims_no_comparison() -> None:
    without = Comparison(
        state_sha256=sha("after"), reference_sha256=None, same_bytes=None, difference=None
    )
    text = _Page(page(report(comparison=without))).text
    assert "Not compared:" in text and "byte for byte, so every measurement" not in text


def test_a_report_of_what_was_never_built_has_no_measurements() -> None:
    nothing = {"verification": None, "comparison": None, "quality": None, "registered": None}
    read = _Page(page(report(**nothing, removal=Removal(was_member=False))))
    assert "No model had been built" in read.text
    assert "Quality before and after" not in read.headings


def test_the_same_report_gives_the_same_page() -> None:
    assert page(report()) == page(report())
