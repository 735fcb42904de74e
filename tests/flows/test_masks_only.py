"""`storage.keep: masks`: no vector outlives its merge, and an opt-out is exact all the same."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.keeping import apply_storage, lost
from flows.merging import AlteredError, current_state
from flows.rederiving import RederivationError
from flows.reporting import read_report
from flows.verifying import verify
from flows.workspace import Workspace
from tests.flows.test_build import change
from tests.flows.test_exactness import merge_bytes, served_sha256
from tests.flows.test_rederiving import elsewhere, other_arithmetic  # noqa: F401  a fixture
from tests.flows.test_verifying import flip_a_byte
from tests.flows.traces import tail, traces
from tests.flows.trees import tree
from tests.flows.workspaces import (
    CONTRIBUTORS,
    TWINS,
    Snapshot,
    build_plainly,
    files,
    finetune_and_merge,
    make_workspace,
    marker,
    opt_out_plainly,
    request,
    reviews,
)

FEW = (*CONTRIBUTORS[:3], *TWINS)
LEAVER, STAYER = FEW[1], FEW[2]


@dataclass(frozen=True)
class Both:
    """The same contributors' workspace in both ways, built; and bytes to know each vector by."""

    masks: Snapshot
    vectors: Snapshot
    needles: dict[str, bytes]


@pytest.fixture(scope="session")
def _both(
    tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path, prefect_server: None
) -> Both:
    def snapshot(keep: str) -> tuple[Workspace, Snapshot]:
        root = tmp_path_factory.mktemp(keep) / "workspace"
        place = make_workspace(root, tiny_classifier, map(reviews, FEW), keep=keep)
        build_plainly(root)
        return place, Snapshot.take(root, "as built")

    place, kept = snapshot("vectors")
    needles = {who: tail(files(place, who)[1].read_bytes()) for who in FEW}
    return Both(snapshot("masks")[1], kept, needles)


@pytest.fixture
def place(_both: Both) -> Workspace:
    """A built workspace that keeps masks only."""
    return _both.masks.restore()


@pytest.fixture
def with_vectors(_both: Both) -> Workspace:
    """The same contributors' workspace that keeps vectors."""
    return _both.vectors.restore()


@pytest.fixture
def needles(_both: Both) -> dict[str, bytes]:
    """The end of each contributor's vector."""
    return _both.needles


def fresh_merge(root: Path, source: Path, *rows: str) -> Workspace:
    """The merge of these contributors, who are finetuned afresh in another workspace."""
    other = make_workspace(root, source, map(reviews, rows))
    finetune_and_merge(other)
    return other


def vector_files(place: Workspace) -> list[Path]:
    return [path for folder in place.vector_folders for path in folder.iterdir()]


def evidence(place: Workspace) -> str:
    found = verify(place)
    found.require()
    return found.evidence


def test_no_vector_outlives_the_merge(
    place: Workspace, with_vectors: Workspace, needles: dict[str, bytes]
) -> None:
    found = traces(with_vectors.root, needles)
    for who in FEW:
        places = {path.partition("/")[0] for path in found[who]}
        assert places == {"vectors", ".dvc", "remote"}, "the search does find things"

    assert traces(place.root, needles) == {}
    assert vector_files(place) == []
    assert merge_bytes(place) == merge_bytes(with_vectors)
    assert served_sha256(place) == served_sha256(with_vectors)
    assert place.dvc.status() == {}
    assert place.git.is_clean()
    with place.lineage.reader() as reader:
        assert all(row.dropped_at and not row.destroyed_at for row in reader.task_vectors())


def test_a_second_build_finds_everything_done(place: Workspace) -> None:
    head, state = place.git.head(), merge_bytes(place)

    assert lost(place) == []
    build_plainly(place.root)

    assert (place.git.head(), merge_bytes(place)) == (head, state)
    assert place.mlflow.versions() == [1]


def test_verify_says_what_it_did_not_check_and_rederiving_does(place: Workspace) -> None:
    before = tree(place.root / "masks"), tree(place.merge)

    assert evidence(place) == "digests alone"
    found = {check.name: check for check in verify(place).checks}
    assert "not rebuilt" in found["merge and masks unaltered"].found

    again = verify(place, rederive=True)

    assert again.passed
    assert again.evidence == "vectors derived again"
    assert again.checks[1].found.startswith(f"the sum of {len(FEW)} vectors derived again is ")
    assert (tree(place.root / "masks"), tree(place.merge)) == before
    assert vector_files(place) == []


def test_rederiving_names_what_differs(place: Workspace) -> None:
    found = verify(change(place, "steps: 3", "steps: 4"), rederive=True)

    failed = [check for check in found.checks if not check.passed]
    assert [check.name for check in failed] == ["merge rebuilt by finetuning again"]
    assert "finetune.steps was 3 and is 4" in failed[0].found


def an_altered_mask(place: Workspace) -> None:
    flip_a_byte(files(place, STAYER)[2])


def an_altered_state(place: Workspace) -> None:
    flip_a_byte(place.state_file(current_state(place).state_sha256))


@pytest.mark.parametrize("damage", [an_altered_mask, an_altered_state])
def test_damage_is_found_without_any_vector(
    place: Workspace, damage: Callable[[Workspace], None]
) -> None:
    damage(place)

    failed = {check.name: check.found for check in verify(place).checks if not check.passed}

    assert "lineage recorded" in failed["merge and masks unaltered"]


def test_a_lost_mask_is_made_again_with_the_same_bytes(place: Workspace) -> None:
    mask = files(place, STAYER)[2]
    before, state = mask.read_bytes(), merge_bytes(place)
    mask.unlink()

    build_plainly(place.root)

    assert (mask.read_bytes(), merge_bytes(place)) == (before, state)
    assert vector_files(place) == []


def test_an_opt_out_ends_in_the_bytes_of_a_world_without_the_leaver(
    place: Workspace,
    with_vectors: Workspace,
    needles: dict[str, bytes],
    tmp_path: Path,
    tiny_classifier: Path,
) -> None:
    for each in (place, with_vectors):
        request(each, LEAVER)
        opt_out_plainly(each.root)

    other = fresh_merge(tmp_path / "other", tiny_classifier, *(c for c in FEW if c != LEAVER))
    assert merge_bytes(place) == merge_bytes(with_vectors) == merge_bytes(other)
    assert served_sha256(place) == served_sha256(with_vectors) == served_sha256(other)
    assert traces(place.root, {**needles, "text": marker(LEAVER).encode()}) == {}
    assert evidence(place) == "digests alone"
    assert verify(place, rederive=True).passed


def test_the_report_says_what_was_checked_and_what_was_not(place: Workspace) -> None:
    removal = request(place, LEAVER)
    opt_out_plainly(place.root)

    report = read_report(place, removal.request_id)

    assert report["removal"]["vector"] == "derived again"
    assert report["verification"]["evidence"] == "digests alone"
    assert "not rebuilt" in report["claimed"][0]
    assert report["repeat"][0] == "sift verify --rederive"
    (vector,) = report["not_kept_after_merge"]
    assert vector["vector_sha256"] in report["found"]["task_vectors"]
    page = (place.reports / removal.request_id / "report.html").read_text()
    assert "derived again" in page and vector["vector_sha256"] in page


def test_identical_data_of_another_contributor_survives(place: Workspace) -> None:
    leaver, stayer = TWINS
    request(place, leaver)
    opt_out_plainly(place.root)

    assert files(place, stayer)[2].is_file()
    assert verify(place, rederive=True).passed


def other_settings(place: Workspace) -> Workspace:
    return change(place, "learning_rate: 0.01", "learning_rate: 0.02")


def other_rows(place: Workspace) -> Workspace:
    files(place, LEAVER)[0].unlink()
    return place


def another_base(place: Workspace) -> Workspace:
    flip_a_byte(place.base / "model.safetensors")
    return place


@pytest.mark.parametrize(
    ("differ", "named"),
    [
        (other_settings, "finetune.learning_rate was 0.01 and is 0.02"),
        (other_rows, "is not the dataset that lineage recorded"),
        (another_base, "base/ was "),
    ],
)
def test_nothing_is_subtracted_where_something_differs(
    place: Workspace, differ: Callable[[Workspace], Workspace], named: str
) -> None:
    request(place, LEAVER)
    place = differ(place)
    before = tree(place.merge), tree(place.masks), current_state(place)

    with pytest.raises(RederivationError, match=named):
        opt_out_plainly(place.root)

    assert (tree(place.merge), tree(place.masks), current_state(place)) == before
    assert vector_files(place) == []
    with place.lineage.reader() as reader:
        assert reader.next_step("opt-out-0001") == "removed"


def test_on_another_machine_an_opt_out_stops_and_a_new_seed_is_the_way_out(
    place: Workspace,
    tmp_path: Path,
    tiny_classifier: Path,
    other_arithmetic: None,  # noqa: F811
) -> None:
    elsewhere(place)
    request(place, LEAVER)
    state = merge_bytes(place)

    with pytest.raises(
        RederivationError, match=r"torch was 1\.0 and is .* set another finetune\.seed"
    ):
        opt_out_plainly(place.root)
    assert merge_bytes(place) == state

    seed = "seed: {}                    # the same"
    build_plainly(change(place, seed.format(0), seed.format(7)).root)
    opt_out_plainly(place.root)

    other = make_workspace(
        tmp_path / "other", tiny_classifier, map(reviews, [c for c in FEW if c != LEAVER])
    )
    finetune_and_merge(change(other, seed.format(0), seed.format(7)))
    assert merge_bytes(place) == merge_bytes(other)


def keep(place: Workspace, what: str) -> Workspace:
    before = {"masks": "vectors", "vectors": "masks"}[what]
    return change(place, f"keep: {before}", f"keep: {what}")


def test_vectors_that_were_kept_go_from_dvc_too(
    with_vectors: Workspace, needles: dict[str, bytes]
) -> None:
    state = merge_bytes(with_vectors)

    place = keep(with_vectors, "masks")
    build_plainly(place.root)

    assert traces(place.root, needles) == {}
    assert merge_bytes(place) == state
    assert evidence(place) == "digests alone"
    assert place.dvc.status() == {}
    assert place.git.is_clean()


def test_an_opt_out_finds_the_vectors_that_are_kept_still(
    with_vectors: Workspace, needles: dict[str, bytes]
) -> None:
    place = keep(with_vectors, "masks")
    removal = request(place, LEAVER)
    opt_out_plainly(place.root)

    assert read_report(place, removal.request_id)["removal"]["vector"] == "stored"
    assert LEAVER not in traces(place.root, needles)
    build_plainly(place.root)
    assert traces(place.root, needles) == {}


def test_a_kept_vector_that_could_not_be_derived_again_is_not_deleted(
    with_vectors: Workspace,
    other_arithmetic: None,  # noqa: F811
) -> None:
    elsewhere(with_vectors)
    place = keep(with_vectors, "masks")

    with pytest.raises(RederivationError, match=r"torch was 1\.0"):
        build_plainly(place.root)

    assert len(vector_files(place)) == len(FEW)
    with place.lineage.reader() as reader:
        assert [row for row in reader.task_vectors() if row.dropped_at] == []


def test_vectors_come_back_where_they_are_to_be_kept_again(
    place: Workspace, with_vectors: Workspace
) -> None:
    place = keep(place, "vectors")
    build_plainly(place.root)

    assert evidence(place) == "stored vectors"
    for who in FEW:
        assert files(place, who)[1].read_bytes() == files(with_vectors, who)[1].read_bytes()
    assert place.dvc.status() == {}
    with place.lineage.reader() as reader:
        assert [row for row in reader.task_vectors() if row.dropped_at] == []


def test_vectors_that_come_back_otherwise_are_refused(
    place: Workspace,
    other_arithmetic: None,  # noqa: F811
) -> None:
    place = keep(place, "vectors")
    masks, state = tree(place.masks), current_state(place)

    with pytest.raises(RederivationError, match="does not repeat"):
        build_plainly(place.root)

    assert (tree(place.masks), current_state(place), vector_files(place)) == (masks, state, [])


def test_a_lost_merge_state_is_an_error_and_not_a_new_sum(place: Workspace) -> None:
    place.state_file(current_state(place).state_sha256).unlink()

    with pytest.raises(AlteredError, match="dvc checkout"):
        build_plainly(place.root)


def test_applying_the_setting_again_changes_nothing(place: Workspace) -> None:
    before = tree(place.root)
    apply_storage(place)
    assert tree(place.root).keys() == before.keys()
