"""Some records of a contributor are withdrawn: as if they had never been given, and gone."""

import json
from pathlib import Path

import pytest

from flows.data.readmission import WithdrawnRecordsError
from flows.errors import UsageError
from flows.evidence.verification import verify
from flows.models.evaluate import evaluate_state
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from tests.support.killed import Point, dies
from tests.support.prefect_runs import opt_out_by_flow
from tests.support.tidy import require_tidy
from tests.support.traces import traces
from tests.support.trees import tree
from tests.support.workspaces import (
    CONTRIBUTORS,
    Rows,
    add,
    build_plainly,
    files,
    finetune_and_merge,
    held,
    make_workspace,
    merge_bytes,
    opt_out_plainly,
    record,
    report_of,
    request,
    reviews,
    served_sha256,
)

WRITER = CONTRIBUTORS[5]
WITHDRAWN, REMAINING = (
    reviews(WRITER)[2:8:5],
    [row for number, row in enumerate(reviews(WRITER)) if number not in (2, 7)],
)


def hashes(workspace: Workspace) -> list[str]:
    """What names the withdrawn rows."""
    return [record(workspace, row) for row in WITHDRAWN]


def texts(rows: Rows) -> dict[str, bytes]:
    """The texts of rows, to look for."""
    return {row["text"]: row["text"].encode() for row in rows}


def old_bytes(workspace: Workspace) -> dict[str, bytes]:
    """Every file that holds what the writer gave, whole."""
    champion = workspace.mlflow.reading.champion()
    assert champion is not None
    return {
        **{path.parent.name: path.read_bytes() for path in files(workspace, WRITER)},
        "state": merge_bytes(workspace),
        "weights": (
            workspace.mlflow.reading.served_folder(champion) / "model.safetensors"
        ).read_bytes(),
    }


@pytest.fixture(scope="module")
def never(tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path) -> Path:
    """A workspace whose contributors are the same and that never had the records."""
    rows = [REMAINING if name == WRITER else reviews(name) for name in reversed(CONTRIBUTORS)]
    workspace = make_workspace(tmp_path_factory.mktemp("never") / "it", tiny_classifier, rows)
    finetune_and_merge(workspace)
    return workspace.root


def require_as_if_never_given(workspace: Workspace, root: Path) -> None:
    """The same bytes as in a workspace that never had the records, and no trace of them."""
    fresh = Workspace.open(root)
    assert merge_bytes(workspace) == merge_bytes(fresh)
    with workspace.lineage.reader() as reader:
        champion = reader.champion("films")
    assert champion is not None
    assert champion.served_sha256 == served_sha256(fresh)
    for name in CONTRIBUTORS:
        assert held(workspace, name) == held(fresh, name)
    assert traces(workspace.root, texts(WITHDRAWN)) == {}
    assert verify(workspace).passed


def test_withdrawn_records_are_as_if_never_given(built: Workspace, never: Path) -> None:
    known = old_bytes(built)
    before = traces(built.root, texts(WITHDRAWN) | known)
    assert all(before.values()) and len(before) == len(WITHDRAWN) + len(known)

    (result,) = opt_out_by_flow(built, request(built, WRITER, records=hashes(built)).request_id)

    require_as_if_never_given(built, never)
    assert traces(built.root, known) == {}
    found = traces(built.root, texts(REMAINING))
    assert len(found) == len(REMAINING), "every other row stays"
    assert result.removal is not None
    assert (result.records, result.removal.members_after) == (2, len(CONTRIBUTORS))
    require_tidy(built, versions=[2])
    report = report_of(built, result.request_id)
    assert report["records"] == 2
    assert set(report["quality"]["contributor"]["after"]) == {
        f"{setting}.{split}.accuracy"
        for setting in ("base", "merged", "masked")
        for split in ("held_in", "held_out")
    }
    assert "2 of the contributor" in result.report.read_text()
    with built.lineage.reader() as reader:
        impact = reader.impact(built.key_of(WRITER), hashes(built))
        assert reader.contributor(built.key_of(WRITER)).external_id == WRITER
    gone = [*impact.datasets, *impact.vectors, *impact.states, *impact.versions]
    assert len(gone) == 4
    assert all(row.destroyed_at is not None for row in gone)


OFTEN = [
    Point("flows.erasure.withdrawal:record_dataset", "before"),
    Point("flows.erasure.steps.removed:replace_dataset", "after"),
    Point("sift_bytes:write_atomically", "after", "vectors/"),
    Point("flows.erasure.steps.removed:finetune_again", "after"),
    Point("flows.erasure.steps.removed:make_current", "before"),
    Point("flows.erasure.steps.removed:make_current", "after"),
    Point("flows.erasure.request:Request.done", "before", "registered"),
    Point("flows.erasure.steps.purged:_plan", "after"),
    Point("pathlib:Path.unlink", "after", "vectors/"),
    Point("flows.integrations.dvc.stored_objects:StoredObjects.destroy", "after", "dvc-cache"),
    Point("flows.erasure.targets.model_versions:ModelVersions.erase", "after"),
    Point("flows.erasure.targets.dvc_objects:push", "after"),
    Point("lineage.file_store:LineageStore.rewrite", "before"),
    Point("flows.erasure.request:Request.done", "before", "purged"),
]


@pytest.mark.slow
def test_a_withdrawal_that_dies_again_and_again_ends_the_same(
    built: Workspace, never: Path
) -> None:
    request(built, WRITER, records=hashes(built))

    deaths = {str(point): dies(opt_out_plainly, built.root, point) for point in OFTEN}
    opt_out_plainly(built.root)

    assert [point for point, died in deaths.items() if not died] == []
    require_as_if_never_given(built, never)
    require_tidy(built, versions=[2])
    assert len(built.files_of(built.key_of(WRITER))) == 3


@pytest.mark.slow
def test_a_record_of_replaced_rows_goes_and_the_merge_stays(built: Workspace) -> None:
    """It is in DVC's history and in an old model version, not in the current merge."""
    known = old_bytes(built)
    add(built, reviews(WRITER, edition=1), replace=True)
    build_plainly(built.root)
    state = merge_bytes(built)

    request(built, WRITER, records=hashes(built))
    opt_out_plainly(built.root)

    assert traces(built.root, texts(WITHDRAWN) | known) == {}
    assert merge_bytes(built) == state
    require_tidy(built, versions=[2])
    assert report_of(built, "opt-out-0001")["removal"]["was_member"] is False


@pytest.mark.slow
def test_records_of_rows_that_wait_for_a_build_go_too(built: Workspace) -> None:
    waiting = reviews(WRITER, edition=1)
    add(built, waiting, replace=True)
    before = evaluate_state(built, current_state(built))

    request(built, WRITER, records=[record(built, waiting[0])])
    opt_out_plainly(built.root)

    assert traces(built.root, texts(waiting[:1])) == {}
    assert evaluate_state(built, current_state(built)) == before, "the merge never had them"
    build_plainly(built.root)
    assert verify(built).passed
    assert traces(built.root, texts(waiting)).keys() == texts(waiting[1:]).keys()


def test_a_withdrawn_record_does_not_come_in_again(fresh: Workspace) -> None:
    rows = reviews("ann")
    request(fresh, "ann", records=[record(fresh, rows[0])])
    before = tree(fresh.root)

    for again in (rows, [*reviews("ann", edition=1), rows[0]]):
        with pytest.raises(WithdrawnRecordsError, match=record(fresh, rows[0])):
            add(fresh, again, replace=True)
    assert tree(fresh.root) == before

    opt_out_plainly(fresh.root)
    with pytest.raises(WithdrawnRecordsError, match="opt-out-0001"):
        add(fresh, rows, replace=True)
    add(fresh, rows[1:])
    add(fresh, [{**rows[0], "contributor": "cyd"}, *reviews("cyd")])


@pytest.mark.slow
def test_after_a_withdrawal_the_contributor_may_leave_altogether(fresh: Workspace) -> None:
    rows = reviews("ann")
    request(fresh, "ann", records=[record(fresh, rows[0])])
    with pytest.raises(UsageError, match="see how far it is"):
        request(fresh, "ann")
    opt_out_plainly(fresh.root)

    request(fresh, "ann")
    opt_out_plainly(fresh.root, "opt-out-0002")

    assert traces(fresh.root, {**texts(rows), "record": record(fresh, rows[1]).encode()}) == {}
    with pytest.raises(UsageError, match="opted out already: opt-out-0002"):
        request(fresh, "ann", records=[record(fresh, rows[1])])


def test_other_settings_than_the_merge_has_are_refused_before_anything_changes(
    built: Workspace,
) -> None:
    request(built, WRITER, records=hashes(built))
    params = built.root / "params.yaml"
    params.write_text(params.read_text().replace("steps: 3", "steps: 4"))
    before = tree(built.root / "data"), merge_bytes(built)

    with pytest.raises(UsageError, match="another steps than the merge"):
        opt_out_plainly(built.root)

    assert (tree(built.root / "data"), merge_bytes(built)) == before


@pytest.mark.slow
def test_what_a_report_says_is_json(built: Workspace) -> None:
    """The report of records names none of them, and no text."""
    request(built, WRITER, records=hashes(built))
    opt_out_plainly(built.root)

    text = json.dumps(report_of(built, "opt-out-0001"))

    assert not any(each in text for each in (*hashes(built), WRITER, *texts(WITHDRAWN)))
