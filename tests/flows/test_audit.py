"""`sift audit` passes what is as it should be, and finds each kind of damage where it is."""

import shutil
from pathlib import Path

import pytest

from flows.evidence.anchors import anchors
from flows.evidence.audit_checks import CHECKS
from flows.workspace.workspace import Workspace
from tests.support.damage import audited, change_lineage, flip_a_byte, found, member
from tests.support.departures import LEAVER
from tests.support.workspaces import add, build_plainly, files, reviews

READER, OTHER = "reader 00", "reader 01"


def test_a_build_passes_every_check_and_its_commit_anchors_the_log(built: Workspace) -> None:
    assert found(built) == {}
    with built.lineage.reader() as reader:
        head = reader.audit_head()
    (anchor,) = anchors(built)
    assert (anchor.seq, anchor.sha256) == (head.seq, head.sha256)


def test_what_an_opt_out_leaves_passes_every_check(left: Workspace) -> None:
    assert found(left) == {}
    sources = [anchor.source.partition(" ")[0] for anchor in anchors(left)]
    assert sources == ["certificate", "commit", "commit"]


def test_each_damage_is_found_by_its_own_check(built: Workspace) -> None:
    """All at once: what each check finds is told apart by its place."""
    data, _, mask = files(built, READER)
    cached = built.dvc.objects.path(_md5(built, mask.name))
    assert cached is not None
    mask.unlink()
    flip_a_byte(data)
    stray = built.data / f"{'0' * 32}-{'1' * 32}.jsonl"
    stray.write_text("nobody's rows")
    cached.chmod(0o644)
    flip_a_byte(cached)
    unknown = built.root / "remote" / "files" / "md5" / "ab" / ("c" * 30)
    unknown.parent.mkdir(parents=True, exist_ok=True)
    unknown.write_text("nobody's object")
    lost = next(path for path in (built.root / "remote").rglob("*") if path.name in _live(built))
    lost.unlink()
    weights = built.mlflow.reading.served_folder(1) / "model.safetensors"
    flip_a_byte(weights)
    (built.reports / "opt-out-0009").mkdir(parents=True)
    change_lineage(
        built,
        f"""UPDATE contributor SET external_id = 'somebody else'
            WHERE contributor_key = '{built.key_of(OTHER)}';
        UPDATE dataset_records SET records = [repeat('a', 64)]
            WHERE contributor_key = '{built.key_of(OTHER)}';
        UPDATE finetuning_run SET environment_id = 'elsewhere' WHERE run_id = '{vector_run(built)}';
        UPDATE linear_digest SET value = xor(value, 1) WHERE lane = 0
            AND subject = (SELECT state_sha256 FROM merge_state);
        UPDATE audit_entry SET event = 'nothing' WHERE seq = 2""",
    )

    damage = found(built)

    # `rebuild` is for merges of more members than are rebuilt at once, as `exactness` does here.
    assert damage.keys() == set(CHECKS) - {"anchors", "departures", "erased", "rebuild"}
    assert damage["audit log"] == ["audit log, entry 2"]
    assert {where.partition(" ")[0] for where in damage["rows"]} == {
        "finetuning_run",
        "linear_digest",
    }
    assert damage["names"] == [f"contributor {built.key_of(OTHER)}"]
    assert damage["references"] == ["finetuning_run.environment_id"]
    assert damage["sums"] == ["merge state 1"]
    assert set(damage["files"]) == {
        path.relative_to(built.root).as_posix() for path in (data, mask, stray)
    }
    assert damage["records"][0].startswith(f"dataset_records {built.key_of(OTHER)}")
    assert set(damage["dvc"]) >= {
        f"dvc-cache {''.join(cached.parts[-2:])}",
        f"dvc-remote ab{'c' * 30}",
        f"dvc-remote {''.join(lost.parts[-2:])}",
    }
    assert damage["mlflow"] == ["mlflow films version 1"]
    assert damage["reports"] == ["reports/opt-out-0009"]
    assert "somebody else" not in str(audited(built).as_dict())


def test_a_log_that_was_cut_off_is_found_by_the_commit(built: Workspace) -> None:
    change_lineage(
        built, "DELETE FROM audit_change WHERE seq >= 3; DELETE FROM audit_entry WHERE seq >= 3"
    )

    damage = found(built)

    assert "audit log" not in damage
    (where,) = damage["anchors"]
    assert where == f"audit log, entry {anchors(built)[0].seq}"
    assert damage["rows"], "the rows that those entries spoke of are still there"


def test_an_older_copy_of_the_store_is_found(left: Workspace, built_lineage: bytes) -> None:
    """Whole in itself, but not the one that the commits, MLflow and the reports belong to."""
    (left.root / "lineage.duckdb").write_bytes(built_lineage)

    damage = found(left)

    assert damage.keys() >= {"anchors", "departures", "mlflow", "reports", "exactness"}
    assert damage["reports"] == ["reports/opt-out-0001"]


@pytest.fixture
def built_lineage(_built: object, left: Workspace) -> bytes:
    """The store of the same workspace as its build left it, before the opt-out."""
    kept: Path = _built.kept  # type: ignore[attr-defined]
    return (kept / "lineage.duckdb").read_bytes()


def test_what_was_destroyed_and_is_there_again_is_found(left: Workspace, built_root: Path) -> None:
    with left.lineage.reader() as reader:
        gone = next(row for row in reader.all_task_vectors() if row.destroyed_at)
    name = left.vector_file(gone.contributor_key, gone.vector_sha256).name
    shutil.copy(built_root / "vectors" / name, left.vectors / name)
    part = Path("files/md5") / gone.vector_md5[:2] / gone.vector_md5[2:]
    (left.root / "remote" / part).parent.mkdir(exist_ok=True)
    shutil.copy(built_root / "remote" / part, left.root / "remote" / part)

    damage = found(left)

    assert damage == {
        "files": [f"vectors/{name}"],
        "dvc": [f"dvc-remote {gone.vector_md5}"],
        "erased": [f"workspace vectors/{name}", f"dvc-remote {gone.vector_md5}"],
    }


@pytest.mark.slow
def test_a_contributor_who_came_back_with_the_same_rows_is_no_finding(left: Workspace) -> None:
    add(left, reviews(LEAVER), rejoin="their letter of today")
    build_plainly(left.root)

    assert found(left) == {}


@pytest.fixture
def built_root(_built: object) -> Path:
    """The files of the build before the opt-out."""
    kept: Path = _built.kept  # type: ignore[attr-defined]
    return kept


def _md5(workspace: Workspace, name: str) -> str:
    with workspace.lineage.reader() as reader:
        return next(
            row.mask_md5
            for row in reader.all_task_vectors()
            if workspace.mask_file(row.contributor_key, row.mask_sha256).name == name
        )


def _live(workspace: Workspace) -> set[str]:
    return {md5[2:] for md5 in workspace.dvc.objects.live()}


def vector_run(workspace: Workspace) -> str:
    """The run of some member."""
    return member(workspace).run_id
