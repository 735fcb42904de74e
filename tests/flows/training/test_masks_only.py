"""`storage.keep: masks`: no vector outlives its merge, and an opt-out is exact all the same."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.evidence.verification import verify
from flows.training.rederive import RederivationError, Rederiver
from flows.training.retention import apply_storage, lost
from flows.workspace.current_state import current_state
from flows.workspace.recorded_files import LostFileError
from flows.workspace.workspace import Workspace
from sift_core import TaskVector
from sift_core.errors import AlteredError
from tests.support.damage import flip_a_byte
from tests.support.damage import found as audit_findings
from tests.support.kept import (
    FEW,
    LEAVER,
    STAYER,
    elsewhere,
    fresh_merge,
    keep,
    level,
    vector_files,
)
from tests.support.traces import traces
from tests.support.trees import tree
from tests.support.workspaces import (
    TWINS,
    Rows,
    add,
    build_plainly,
    change,
    files,
    finetune_and_merge,
    lose_rows,
    make_workspace,
    marker,
    merge_bytes,
    opt_out_plainly,
    record,
    report_of,
    request,
    reviews,
    served_sha256,
)


def test_no_vector_outlives_the_merge(
    masks_only: Workspace, with_vectors: Workspace, needles: dict[str, bytes]
) -> None:
    found = traces(with_vectors.root, needles)
    for who in FEW:
        places = {path.partition("/")[0] for path in found[who]}
        assert places == {"vectors", ".dvc", "remote"}, "the search does find things"

    assert traces(masks_only.root, needles) == {}
    assert vector_files(masks_only) == []
    assert merge_bytes(masks_only) == merge_bytes(with_vectors)
    assert served_sha256(masks_only) == served_sha256(with_vectors)
    assert masks_only.dvc.record.status() == {}
    assert masks_only.git.is_clean()
    with masks_only.lineage.reader() as reader:
        assert all(row.dropped_at and not row.destroyed_at for row in reader.task_vectors())


def test_a_second_build_finds_everything_done(masks_only: Workspace) -> None:
    head, state = masks_only.git.head(), merge_bytes(masks_only)

    assert lost(masks_only) == []
    build_plainly(masks_only.root)

    assert (masks_only.git.head(), merge_bytes(masks_only)) == (head, state)
    assert masks_only.mlflow.reading.versions() == [1]


def test_verify_says_what_it_did_not_check_and_rederiving_does(masks_only: Workspace) -> None:
    before = tree(masks_only.root / "masks"), tree(masks_only.merge)

    assert level(masks_only) == "derived"
    found = {check.name: check for check in verify(masks_only).checks}
    assert "not rebuilt" in found["merge derived, its digest computed again"].found

    again = verify(masks_only, "finetune again")

    assert again.passed
    assert again.level == "rebuilt"
    assert again.checks[1].found.startswith(f"the sum of {len(FEW)} vectors finetuned again is ")
    assert (tree(masks_only.root / "masks"), tree(masks_only.merge)) == before
    assert vector_files(masks_only) == []


def test_rederiving_names_what_differs(masks_only: Workspace) -> None:
    found = verify(change(masks_only, "steps: 3", "steps: 4"), "finetune again")

    failed = [check for check in found.checks if not check.passed]
    assert [check.name for check in failed] == ["merge rebuilt by finetuning again"]
    assert "finetune.steps was 3 and is 4" in failed[0].found


def an_altered_mask(workspace: Workspace) -> None:
    flip_a_byte(files(workspace, STAYER)[2])


def an_altered_state(workspace: Workspace) -> None:
    flip_a_byte(workspace.state_file(current_state(workspace).state_sha256))


@pytest.mark.parametrize("damage", [an_altered_mask, an_altered_state])
def test_damage_is_found_without_any_vector(
    masks_only: Workspace, damage: Callable[[Workspace], None]
) -> None:
    damage(masks_only)

    failed = {check.name: check.found for check in verify(masks_only).checks if not check.passed}

    assert "lineage recorded" in failed["merge derived, its digest computed again"]


def test_a_lost_mask_is_made_again_with_the_same_bytes(masks_only: Workspace) -> None:
    mask = files(masks_only, STAYER)[2]
    before, state = mask.read_bytes(), merge_bytes(masks_only)
    mask.unlink()

    build_plainly(masks_only.root)

    assert (mask.read_bytes(), merge_bytes(masks_only)) == (before, state)
    assert vector_files(masks_only) == []


def test_an_opt_out_ends_in_the_bytes_of_a_world_without_the_leaver(
    masks_only: Workspace,
    with_vectors: Workspace,
    needles: dict[str, bytes],
    tmp_path: Path,
    tiny_classifier: Path,
) -> None:
    for each in (masks_only, with_vectors):
        request(each, LEAVER)
        opt_out_plainly(each.root)

    other = fresh_merge(tmp_path / "other", tiny_classifier, [c for c in FEW if c != LEAVER])
    assert merge_bytes(masks_only) == merge_bytes(with_vectors) == merge_bytes(other)
    assert served_sha256(masks_only) == served_sha256(with_vectors) == served_sha256(other)
    assert traces(masks_only.root, {**needles, "text": marker(LEAVER).encode()}) == {}
    assert level(masks_only) == "derived"
    assert verify(masks_only, "finetune again").passed


@pytest.mark.slow
def test_the_report_says_what_was_checked_and_what_was_not(masks_only: Workspace) -> None:
    removal = request(masks_only, LEAVER)
    opt_out_plainly(masks_only.root)

    report = report_of(masks_only, removal.request_id)

    assert report["removal"]["vector"] == "derived again"
    assert report["verification"]["level"] == "derived"
    assert "not rebuilt" in report["claimed"][0]
    assert report["repeat"][0] == "sift verify --rederive"
    (vector,) = report["not_kept_after_merge"]
    assert vector["vector_sha256"] in report["found"]["task_vectors"]
    page = (masks_only.reports / removal.request_id / "report.html").read_text()
    assert "derived again" in page and vector["vector_sha256"] in page


@pytest.mark.slow
def test_withdrawn_records_are_as_if_never_given(
    masks_only: Workspace, needles: dict[str, bytes], tmp_path: Path, tiny_classifier: Path
) -> None:
    gone, left = reviews(LEAVER)[:2], reviews(LEAVER)[2:]
    removal = request(masks_only, LEAVER, records=[record(masks_only, row) for row in gone])
    opt_out_plainly(masks_only.root)

    others = [reviews(who) for who in FEW if who != LEAVER]
    require_merge_of(masks_only, tmp_path / "other", tiny_classifier, [left, *others])
    texts = {row["text"]: row["text"].encode() for row in gone}
    assert traces(masks_only.root, needles | texts) == {}
    assert verify(masks_only, "finetune again").passed
    assert "not rebuilt" in report_of(masks_only, removal.request_id)["claimed"][0]


@pytest.mark.slow
def test_identical_data_of_another_contributor_survives(masks_only: Workspace) -> None:
    leaver, stayer = TWINS
    request(masks_only, leaver)
    opt_out_plainly(masks_only.root)

    assert files(masks_only, stayer)[2].is_file()
    assert verify(masks_only, "finetune again").passed


@pytest.fixture
def derived(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose vectors were derived again."""
    runs: list[str] = []
    derive = Rederiver.vector

    def counted(self: Rederiver, run_id: str) -> TaskVector:
        runs.append(run_id)
        return derive(self, run_id)

    monkeypatch.setattr(Rederiver, "vector", counted)
    return runs


def require_merge_of(workspace: Workspace, elsewhere: Path, source: Path, rows: list[Rows]) -> None:
    """The merge is the one of these rows alone, made afresh, and no vector is left."""
    other = make_workspace(elsewhere, source, rows)
    finetune_and_merge(other)
    assert merge_bytes(workspace) == merge_bytes(other)
    assert vector_files(workspace) == []
    assert level(workspace) == "derived"


def test_a_build_derives_again_only_what_it_takes_away(
    masks_only: Workspace, derived: list[str], tmp_path: Path, tiny_classifier: Path
) -> None:
    with masks_only.lineage.reader() as reader:
        members = {row.contributor_key: row.run_id for row in reader.members(1)}
    add(masks_only, reviews("newcomer"))
    add(masks_only, reviews(STAYER, edition=1), replace=True)

    build_plainly(masks_only.root)

    assert derived == [members[masks_only.key_of(STAYER)]]
    rows = [reviews(who, edition=int(who == STAYER)) for who in (*FEW, "newcomer")]
    require_merge_of(masks_only, tmp_path / "other", tiny_classifier, rows)


@pytest.mark.slow
def test_a_build_derives_again_who_stays_where_that_is_less(
    masks_only: Workspace, derived: list[str], tmp_path: Path, tiny_classifier: Path
) -> None:
    with masks_only.lineage.reader() as reader:
        members = {row.contributor_key: row.run_id for row in reader.members(1)}
    for who in FEW[1:]:
        add(masks_only, reviews(who, edition=1), replace=True)

    build_plainly(masks_only.root)

    assert derived == [members[masks_only.key_of(FEW[0])]]
    rows = [reviews(who, edition=int(who != FEW[0])) for who in FEW]
    require_merge_of(masks_only, tmp_path / "other", tiny_classifier, rows)


def test_a_build_that_finetunes_everyone_derives_nothing_again(
    masks_only: Workspace, derived: list[str]
) -> None:
    build_plainly(change(masks_only, "steps: 3", "steps: 2").root)

    assert derived == []
    assert vector_files(masks_only) == []


def other_settings(workspace: Workspace) -> Workspace:
    return change(workspace, "learning_rate: 0.01", "learning_rate: 0.02")


def other_rows(workspace: Workspace) -> Workspace:
    lose_rows(workspace, LEAVER)
    return workspace


def another_base(workspace: Workspace) -> Workspace:
    flip_a_byte(workspace.base / "model.safetensors")
    return workspace


@pytest.mark.parametrize(
    ("differ", "named"),
    [
        (other_settings, "finetune.learning_rate was 0.01 and is 0.02"),
        (other_rows, "is not the dataset that lineage recorded"),
        (another_base, "base/ was "),
    ],
)
def test_nothing_is_subtracted_where_something_differs(
    masks_only: Workspace, differ: Callable[[Workspace], Workspace], named: str
) -> None:
    request(masks_only, LEAVER)
    masks_only = differ(masks_only)
    before = tree(masks_only.merge), tree(masks_only.masks), current_state(masks_only)

    with pytest.raises((RederivationError, LostFileError), match=named):
        opt_out_plainly(masks_only.root)

    assert (tree(masks_only.merge), tree(masks_only.masks), current_state(masks_only)) == before
    assert vector_files(masks_only) == []
    with masks_only.lineage.reader() as reader:
        assert reader.next_step("opt-out-0001") == "removed"


@pytest.mark.slow
def test_on_another_machine_an_opt_out_stops_and_a_new_seed_is_the_way_out(
    masks_only: Workspace,
    tmp_path: Path,
    tiny_classifier: Path,
    other_arithmetic: None,
) -> None:
    elsewhere(masks_only)
    request(masks_only, LEAVER)
    state = merge_bytes(masks_only)

    with pytest.raises(
        RederivationError, match=r"torch was 1\.0 and is .* set another finetune\.seed"
    ):
        opt_out_plainly(masks_only.root)
    assert merge_bytes(masks_only) == state

    seed = "seed: {}                    # the same"
    build_plainly(change(masks_only, seed.format(0), seed.format(7)).root)
    opt_out_plainly(masks_only.root)

    other = make_workspace(
        tmp_path / "other", tiny_classifier, map(reviews, [c for c in FEW if c != LEAVER])
    )
    finetune_and_merge(change(other, seed.format(0), seed.format(7)))
    assert merge_bytes(masks_only) == merge_bytes(other)


def test_vectors_that_were_kept_go_from_dvc_too(
    with_vectors: Workspace, needles: dict[str, bytes]
) -> None:
    state = merge_bytes(with_vectors)

    workspace = keep(with_vectors, "masks")
    build_plainly(workspace.root)

    assert traces(workspace.root, needles) == {}
    assert merge_bytes(workspace) == state
    assert level(workspace) == "derived"
    assert workspace.dvc.record.status() == {}
    assert workspace.git.is_clean()


@pytest.mark.slow
def test_an_opt_out_finds_the_vectors_that_are_kept_still(
    with_vectors: Workspace, needles: dict[str, bytes]
) -> None:
    workspace = keep(with_vectors, "masks")
    removal = request(workspace, LEAVER)
    opt_out_plainly(workspace.root)

    assert report_of(workspace, removal.request_id)["removal"]["vector"] == "stored"
    assert LEAVER not in traces(workspace.root, needles)
    build_plainly(workspace.root)
    assert traces(workspace.root, needles) == {}


def test_a_kept_vector_that_could_not_be_derived_again_is_not_deleted(
    with_vectors: Workspace,
    other_arithmetic: None,
) -> None:
    elsewhere(with_vectors)
    workspace = keep(with_vectors, "masks")

    with pytest.raises(RederivationError, match=r"torch was 1\.0"):
        build_plainly(workspace.root)

    assert len(vector_files(workspace)) == len(FEW)
    with workspace.lineage.reader() as reader:
        assert [row for row in reader.task_vectors() if row.dropped_at] == []


def test_vectors_come_back_where_they_are_to_be_kept_again(
    masks_only: Workspace, with_vectors: Workspace
) -> None:
    masks_only = keep(masks_only, "vectors")
    build_plainly(masks_only.root)

    assert level(masks_only) == "rebuilt"
    for who in FEW:
        assert files(masks_only, who)[1].read_bytes() == files(with_vectors, who)[1].read_bytes()
    assert masks_only.dvc.record.status() == {}
    with masks_only.lineage.reader() as reader:
        assert [row for row in reader.task_vectors() if row.dropped_at] == []


def test_vectors_that_come_back_otherwise_are_refused(
    masks_only: Workspace,
    other_arithmetic: None,
) -> None:
    masks_only = keep(masks_only, "vectors")
    masks, state = tree(masks_only.masks), current_state(masks_only)

    with pytest.raises(RederivationError, match="does not repeat"):
        build_plainly(masks_only.root)

    assert (tree(masks_only.masks), current_state(masks_only), vector_files(masks_only)) == (
        masks,
        state,
        [],
    )


def test_a_lost_merge_state_is_an_error_and_not_a_new_sum(masks_only: Workspace) -> None:
    masks_only.state_file(current_state(masks_only).state_sha256).unlink()

    with pytest.raises(AlteredError, match="dvc checkout"):
        build_plainly(masks_only.root)


def test_applying_the_setting_again_changes_nothing(masks_only: Workspace) -> None:
    before = tree(masks_only.root)
    apply_storage(masks_only)
    assert tree(masks_only.root).keys() == before.keys()


def test_an_audit_misses_no_vector_that_is_not_kept(masks_only: Workspace) -> None:
    assert audit_findings(masks_only) == {}
