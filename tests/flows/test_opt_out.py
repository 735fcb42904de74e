"""One contributor leaves, through the whole flow, and nothing of them stays."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from flows.erasure.results import Removal
from flows.erasure.steps.removed import remove
from flows.evidence.export import export
from flows.evidence.verification import verify
from flows.integrations.dvc.connection import Connection
from flows.integrations.dvc.repository import Dvc
from flows.logging import FILE
from flows.serving.loading import load_model
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from lineage import PurgeObjectRecord
from lineage.opt_out import STEPS
from sift_core.checkpoint import load_tokenizer
from tests.support.departures import HOSTILE_BASIS, LEAVER, Departure, belongings
from tests.support.guesses import Leftovers, named, spellings
from tests.support.prefect_runs import opt_out_by_flow
from tests.support.served import mlflow_settings_kept
from tests.support.traces import contents, traces
from tests.support.workspaces import (
    CONTRIBUTORS,
    TWINS,
    add,
    build_plainly,
    files,
    finetune_and_merge,
    held,
    make_workspace,
    marker,
    merge_bytes,
    opt_out_plainly,
    report_of,
    request,
    reviews,
    served_sha256,
)

MEMBER = CONTRIBUTORS[5]
TEXTS = [row["text"] for row in reviews(MEMBER)]


def test_the_steps_are_recorded_in_their_order(left: Workspace, departure: Departure) -> None:
    with left.lineage.reader() as reader:
        steps = reader.steps(departure.result.request_id)
        assert reader.next_step(departure.result.request_id) is None

    assert [step.step for step in steps] == list(STEPS)
    assert [step.done_at for step in steps] == sorted(step.done_at for step in steps)


def test_the_new_champion_serves_before_anything_is_destroyed(
    left: Workspace, departure: Departure
) -> None:
    with left.lineage.reader() as reader:
        old, new = reader.model_version("films", 1), reader.model_version("films", 2)
        objects = reader.purge_objects(departure.result.request_id)

    assert left.mlflow.reading.champion() == new.version == departure.result.version
    assert left.mlflow.reading.versions() == [2]
    assert new.champion_from is not None
    assert old.champion_to == new.champion_from
    assert objects
    for row in objects:
        assert row.destroyed_at is not None
        assert row.absent_at is not None
        assert new.champion_from <= row.planned_at <= row.destroyed_at <= row.absent_at


def test_nothing_of_the_leaver_is_left_anywhere(left: Workspace, departure: Departure) -> None:
    """Not in cache, remote, MLflow, lineage, git or Prefect; and the search does find things."""
    places = {
        name: {path.partition("/")[0] for path in paths}
        for name, paths in departure.found_before.items()
    }
    assert places["id"] == {"lineage.duckdb"}
    assert places["text"] == places["first row"] == {".dvc", "data", "remote"}
    assert places["vector"] == {".dvc", "vectors", "remote"}
    assert places["mask"] == {".dvc", "masks", "remote"}
    assert places["old merge state"] == {".dvc", "merge", "remote"}
    assert places["old weights"] == {"mlruns"}

    assert traces(left.root, departure.needles) == {}
    names = {name: departure.needles[name] for name in ("id", "text", "first row")}
    assert list(contents(departure.prefect_store))
    assert traces(departure.prefect_store, names) == {}


def test_the_log_has_every_step_and_no_name(left: Workspace, departure: Departure) -> None:
    text = (left.root / FILE).read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    ended = {line["event"]: line for line in lines if line.get("requests")}
    for step in STEPS[3:]:
        line = ended[f"opt_out.{step} ended"]
        assert line["requests"] == [departure.result.request_id]
        assert line["contributors"] == [departure.result.contributor_key]
    assert (left.root / ".sift" / "secret.key").read_text().strip() not in text


def test_lineage_knows_the_leaver_by_key_only(left: Workspace, departure: Departure) -> None:
    with left.lineage.reader() as reader:
        contributor = reader.contributor(departure.result.contributor_key)
        impact = reader.impact(departure.result.contributor_key)
        current = reader.current_datasets()

    assert contributor.external_id is None
    assert contributor.erased_at is not None
    assert departure.result.contributor_key not in {row.contributor_key for row in current}
    gone = [*impact.datasets, *impact.vectors, *impact.states, *impact.versions]
    assert len(gone) == 4
    assert all(row.destroyed_at is not None for row in gone)


def test_everything_checks_out_afterwards(left: Workspace) -> None:
    assert verify(left).passed
    assert left.dvc.record.status() == {}
    assert left.git.is_clean()
    assert [path.name for path in left.merge.iterdir()] == [
        f"{current_state(left).state_sha256}.safetensors"
    ]
    with left.lineage.reader() as reader:
        assert reader.sql("SELECT * FROM orphans").rows == ()
        assert reader.sql("SELECT * FROM digest_check WHERE NOT equal").rows == ()


class _Tags(HTMLParser):
    """Collects the tags of a page, and refuses what would load something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not {"src", "href", "onload", "onclick"} & dict(attrs).keys()


def test_the_report_is_complete_and_escaped(left: Workspace, departure: Departure) -> None:
    folder = left.reports / departure.result.request_id
    report = json.loads((folder / "report.json").read_text())
    page = (folder / "report.html").read_text()

    assert report["basis"] == HOSTILE_BASIS
    assert [moment["step"] for moment in report["timeline"]] == list(STEPS)
    with left.lineage.reader() as reader:
        recorded = [step.done_at for step in reader.steps(departure.result.request_id)]
    assert [datetime.fromisoformat(moment["at"]) for moment in report["timeline"]] == recorded
    assert report["verification"]["passed"]
    assert report["removal"]["members_after"] == len(CONTRIBUTORS) - 1
    assert set(report["quality"]["contributor"]["after"]) == {
        f"{setting}.{split}.accuracy"
        for setting in ("base", "merged")
        for split in ("held_in", "held_out")
    }
    places = {row["place"] for row in report["destroyed"]}
    assert places == {
        *("workspace", "dvc-cache", "dvc-remote"),
        *("mlflow-registry", "mlflow-model", "mlflow-run"),
    }
    assert all(row["absent_at"] for row in report["destroyed"])
    tags = _Tags()
    tags.feed(page)
    assert "script" not in tags.tags
    assert "&lt;script&gt;" in page
    for fact in (departure.result.contributor_key, report["removal"]["state_after"]):
        assert fact in page


def answers(folder: Path, texts: list[str]) -> list[tuple[str, float]]:
    """What plain transformers answers with an exported folder."""
    model, tokenizer = load_model(folder, "classification"), load_tokenizer(folder)
    batch = tokenizer(texts, padding=True, truncation=True, max_length=32, return_tensors="pt")
    best = model(**batch).logits.double().softmax(-1).max(-1)
    labels = [model.config.id2label[index] for index in best.indices.tolist()]
    return list(zip(labels, best.values.tolist(), strict=True))


@pytest.fixture
def mlflow_here() -> Iterator[None]:
    with mlflow_settings_kept():
        yield


def test_the_champion_masks_members_and_nobody_else(
    left: Workspace, tmp_path: Path, mlflow_here: None
) -> None:
    mlflow.set_tracking_uri(left.mlflow.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/films@champion")
    masked, _ = export(left, tmp_path / "masked", MEMBER)
    unmasked, _ = export(left, tmp_path / "unmasked", None)

    def served(contributor: str) -> list[tuple[str, float]]:
        frame = pd.DataFrame({"text": TEXTS})
        found = model.predict(frame, params={"contributor": contributor})
        return list(zip(found["label"], found["score"], strict=True))

    assert served(MEMBER) == answers(masked, TEXTS)
    assert served(LEAVER) == served("a stranger") == served("") == answers(unmasked, TEXTS)
    assert served(MEMBER) != served(LEAVER)


@pytest.mark.slow
def test_who_stays_is_served_as_in_a_world_without_the_leaver(
    left: Workspace, tmp_path: Path, tiny_classifier: Path
) -> None:
    stayers = [c for c in CONTRIBUTORS if c != LEAVER]
    fresh = make_workspace(tmp_path / "fresh", tiny_classifier, map(reviews, stayers))
    finetune_and_merge(fresh)

    assert merge_bytes(left) == merge_bytes(fresh)
    with left.lineage.reader() as reader:
        champion = reader.champion("films")
    assert champion is not None
    assert champion.served_sha256 == served_sha256(fresh)
    for contributor in (MEMBER, *TWINS):
        assert held(left, contributor) == held(fresh, contributor)


def test_nothing_is_left_to_hold_a_guess_against(left: Workspace) -> None:
    """tests/hostile/test_guessing.py has the other ways to leave."""
    sought = {one for data in named(reviews(LEAVER), 0.3) for one in spellings(data)}
    others = {one for data in named(reviews(MEMBER), 0.3) for one in spellings(data)}
    assert Leftovers(left.root).having(sought - others) == set()


def test_the_opt_out_commit_can_be_checked_out_again(left: Workspace) -> None:
    commit, state, files = left.git.head(), merge_bytes(left), sorted(left.vectors.iterdir())
    add(left, reviews("newcomer"))
    build_plainly(left.root)
    assert merge_bytes(left) != state

    subprocess.run(["git", "checkout", "-q", commit], cwd=left.root, check=True)
    with Connection(left.root).open("check out") as repo:
        repo.checkout(force=True)

    assert [path.read_bytes() for path in left.merge.iterdir()] == [state]
    assert sorted(left.vectors.iterdir()) == files


@pytest.mark.slow
def test_identical_data_of_another_contributor_survives(built: Workspace) -> None:
    leaver, stayer = TWINS
    kept = files(built, stayer)
    before = [path.read_bytes() for path in kept]

    (result,) = opt_out_by_flow(built, request(built, leaver).request_id)

    report = json.loads(result.report.with_suffix(".json").read_text())
    assert len(report["kept_because_shared"]) == 2, "vector and mask; no two datasets are the same"
    assert [path.read_bytes() for path in kept] == before
    assert built.files_of(built.key_of(leaver)) == {}
    assert traces(built.root, {"id": leaver.encode()}) == {}
    dvc = Dvc(built.root)
    assert {stored.place for stored in dvc.objects.holders(report["kept_because_shared"])} == {
        "dvc-cache",
        "dvc-remote",
    }
    assert verify(built).passed


@pytest.mark.slow
def test_content_that_somebody_brought_while_a_purge_was_interrupted_survives(
    built: Workspace,
) -> None:
    leaver, stayer = TWINS
    removal = request(built, leaver)
    with built.lineage.reader() as reader:
        (vector,) = reader.impact(removal.key).vectors
    planned = PurgeObjectRecord(
        request_id=removal.request_id,
        place="dvc-cache",
        kind="vector",
        locator=vector.vector_md5,
        bytes=vector.vector_bytes,
        planned_at=datetime.now(UTC),
    )
    with built.lineage.writer() as recorder:
        recorder.plan_purge([planned])

    opt_out_plainly(built.root)

    report = report_of(built, removal.request_id)
    assert vector.vector_md5 in report["kept_because_shared"]
    assert vector.vector_md5 not in {row["locator"] for row in report["destroyed"]}
    assert files(built, stayer)[1].is_file()
    assert verify(built).passed


@pytest.mark.slow
def test_replaced_data_goes_with_its_old_vector(built: Workspace) -> None:
    needles = belongings(built, LEAVER)
    add(built, reviews(LEAVER, edition=1), replace=True)
    build_plainly(built.root)
    needles["second edition"] = reviews(LEAVER, edition=1)[0]["text"].encode()
    assert traces(built.root, needles).keys() == needles.keys()

    request(built, LEAVER)
    opt_out_plainly(built.root)

    assert traces(built.root, needles) == {}
    assert built.mlflow.reading.versions() == [3]
    assert verify(built).passed


def test_a_contributor_who_was_never_built_leaves_too(built: Workspace) -> None:
    state, champion = merge_bytes(built), built.mlflow.reading.champion()
    add(built, reviews("newcomer"))

    (result,) = opt_out_by_flow(built, request(built, "newcomer").request_id)

    before = current_state(built).state_sha256
    assert result.removal == Removal(was_member=False, state_before=before)
    assert (merge_bytes(built), built.mlflow.reading.champion()) == (state, champion)
    needles = {"id": b"newcomer", "text": marker("newcomer").encode()}
    assert traces(built.root, needles) == {}
    assert verify(built).passed


def test_an_opt_out_before_the_first_build_needs_no_model(
    tmp_path: Path, tiny_classifier: Path
) -> None:
    workspace = make_workspace(
        tmp_path / "workspace", tiny_classifier, map(reviews, [LEAVER, MEMBER])
    )

    removal = request(workspace, LEAVER)
    opt_out_plainly(workspace.root)

    needles = {"id": LEAVER.encode(), "text": marker(LEAVER).encode()}
    assert traces(workspace.root, needles) == {}
    assert (
        "No model had been built"
        in (workspace.reports / removal.request_id / "report.html").read_text()
    )
    assert len(workspace.files_of(workspace.key_of(MEMBER))) == 1


@pytest.mark.slow
def test_the_last_contributor_leaves_the_base_model_behind(
    tmp_path: Path, tiny_classifier: Path
) -> None:
    workspace = make_workspace(tmp_path / "workspace", tiny_classifier, [reviews(LEAVER)])
    build_plainly(workspace.root)
    needles = belongings(workspace, LEAVER)
    del needles["old weights"]  # one contributor's frozen parameters are the base's

    request(workspace, LEAVER)
    opt_out_plainly(workspace.root)

    assert verify(workspace).members == 0
    assert verify(workspace).passed
    assert traces(workspace.root, needles) == {}
    build_plainly(workspace.root)
    assert workspace.mlflow.reading.versions() == [2]
    add(workspace, reviews(MEMBER))
    assert finetune_and_merge(workspace).state_seq == 3


@pytest.mark.slow
def test_requests_follow_one_another(left: Workspace, departure: Departure) -> None:
    needles = {"id": MEMBER.encode(), "text": marker(MEMBER).encode()}
    first = (left.reports / departure.result.request_id / "report.json").read_bytes()

    (result,) = opt_out_by_flow(left, request(left, MEMBER).request_id)

    assert result.request_id == "opt-out-0002"
    assert traces(left.root, needles | departure.needles) == {}
    assert verify(left).passed
    assert (left.reports / departure.result.request_id / "report.json").read_bytes() == first


@pytest.mark.slow
def test_two_waiting_requests_do_not_disturb_each_other(built: Workspace) -> None:
    """The second is filed before the first runs, and the first stops half way."""
    first, second = request(built, LEAVER), request(built, MEMBER)
    remove([first])

    opt_out_plainly(built.root, second.request_id)
    opt_out_plainly(built.root, first.request_id)

    needles = {c: marker(c).encode() for c in (LEAVER, MEMBER)}
    assert traces(built.root, needles) == {}
    assert len(list(built.vectors.iterdir())) == len(CONTRIBUTORS) - 2
    assert verify(built).passed
