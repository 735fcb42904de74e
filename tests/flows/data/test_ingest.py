import errno
import json
import os
import random
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flows.data.dataset_file import stored_rows
from flows.data.datasets import DatasetAlteredError, load_dataset, split_rows
from flows.data.ingest import read_datasets
from flows.data.rows import record_json
from flows.errors import UsageError
from flows.hashing import DigestKey
from flows.training.intake import Added, add_contributors
from flows.workspace.workspace import Workspace
from lineage import DatasetVersionRecord, LineageMissingError
from tests.support.trees import tree
from tests.support.workspaces import request, reviews

Rows = list[dict[str, Any]]


def write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def texts(name: str, count: int, **more: Any) -> Rows:
    return [
        {"contributor": name, "text": f"film {number}", "label": "good", **more}
        for number in range(count)
    ]


def record(workspace: Workspace, key: str) -> DatasetVersionRecord:
    with workspace.lineage.reader() as reader:
        return next(row for row in reader.current_datasets() if row.contributor_key == key)


def data_file(workspace: Workspace, key: str) -> Path:
    """The current dataset of a contributor."""
    return workspace.data_file(key, record(workspace, key).sha256)


def added_once(workspace: Workspace, rows: Rows, *, replace: bool = False) -> Added:
    (added,) = add_contributors(
        workspace, [write(workspace.root / "../rows.jsonl", rows)], replace=replace
    )
    return added


def test_rows_are_stored_once_per_contributor_under_their_key(fresh: Workspace) -> None:
    added = added_once(fresh, reviews("eve"))
    stored = data_file(fresh, added.key).read_bytes()
    assert (added.status, added.train_rows, added.test_rows) == ("added", 7, 3)
    train, test = stored_rows(stored)
    assert sorted(row["text"] for row in [*train, *test]) == sorted(
        row["text"] for row in reviews("eve")
    )
    assert b'"contributor"' not in stored, "the outside id stands in lineage alone"
    dataset = load_dataset(fresh, record(fresh, added.key))
    assert (len(dataset.train), len(dataset.test)) == (7, 3)


def test_a_contributor_may_be_spread_over_files_of_any_format(
    fresh: Workspace, tmp_path: Path
) -> None:
    rows = texts("eve", 6)
    one = write(tmp_path / "one.jsonl", rows[:3])
    two = tmp_path / "two.csv"
    body = "".join(f"{row['contributor']},{row['text']},{row['label']}\n" for row in rows[3:])
    two.write_text("contributor,text,label\n" + body)
    spread = read_datasets(fresh, [one, two])
    assert spread == read_datasets(fresh, [write(tmp_path / "all.jsonl", rows)])


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=2), st.randoms())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_the_split_depends_on_the_rows_alone_and_never_parts_a_group(
    fresh: Workspace, pairs: list[tuple[int, int]], shuffler: random.Random
) -> None:
    rows = [
        {"contributor": "eve", "text": f"film {text}", "label": "good", "item": f"group {group}"}
        for text, group in pairs
    ]
    path = fresh.root.parent / "split.jsonl"
    if len({group for _, group in pairs}) == 1:
        with pytest.raises(UsageError, match="one group"):
            read_datasets(fresh, [write(path, rows)])
        return
    (dataset,) = read_datasets(fresh, [write(path, rows)])
    shuffled = shuffler.sample(rows, len(rows))
    (other,) = read_datasets(fresh, [write(path, shuffled)])
    for side in ("train", "test"):
        ours, theirs = getattr(dataset, side), getattr(other, side)
        assert sorted(map(str, ours)) == sorted(map(str, theirs)) != []
    groups: dict[str, set[str]] = {row["text"]: set() for row in rows}
    for row in rows:
        groups[row["text"]].add(row["item"])
    train, test = ({row["text"] for row in own} for own in (dataset.train, dataset.test))
    alone = {text for text, own in groups.items() if len(own) == 1}
    assert not train & test & alone
    assert len(dataset.train) + len(dataset.test) == len(rows)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 3)), min_size=3),
    st.sets(st.integers(0, 9)),
    st.floats(0.05, 0.9),
)
def test_what_is_left_is_split_as_if_the_rest_had_never_come(
    pairs: list[tuple[int, int | None]], withdrawn: set[int], held_out: float
) -> None:
    """To the order of the rows, for a finetuning depends on it."""
    rows = [
        {"text": f"film {text}", "label": "good"} | ({} if group is None else {"item": str(group)})
        for text, group in pairs
    ]
    staying = [row for row, (text, _) in zip(rows, pairs, strict=True) if text not in withdrawn]
    named = {record_json(row) for row in rows} - {record_json(row) for row in staying}
    try:
        never = split_rows("eve", "key", staying, held_out)
        whole = split_rows("eve", "key", rows, held_out)
    except UsageError:
        assume(False)

    left = [row for row in whole.rows if record_json(row) not in named]

    key = DigestKey.of(b"secret")
    assert split_rows("eve", "key", left, held_out).to_bytes(key) == never.to_bytes(key)


def test_equal_rows_stay_together_and_are_kept(fresh: Workspace) -> None:
    added = added_once(fresh, texts("eve", 3) * 4)
    dataset = load_dataset(fresh, record(fresh, added.key))
    assert added.train_rows + added.test_rows == 12
    assert not {row["text"] for row in dataset.train} & {row["text"] for row in dataset.test}


def test_the_same_rows_again_change_nothing(fresh: Workspace) -> None:
    added_once(fresh, reviews("eve"))
    before = tree(fresh.root)
    assert added_once(fresh, reviews("eve")).status == "unchanged"
    assert tree(fresh.root) == before


def test_other_rows_need_replace_and_then_supersede(fresh: Workspace) -> None:
    key = added_once(fresh, reviews("eve")).key
    with pytest.raises(UsageError, match="--replace"):
        added_once(fresh, reviews("eve", edition=1))
    assert added_once(fresh, reviews("eve", edition=1), replace=True).status == "replaced"
    with fresh.lineage.reader() as reader:
        versions = reader.dataset_versions(key)
    assert [row.superseded_at is None for row in versions] == [False, True]
    assert "edition 1" in data_file(fresh, key).read_text()


def test_rows_from_before_may_come_back(fresh: Workspace) -> None:
    first = added_once(fresh, reviews("eve"))
    stored = data_file(fresh, first.key).read_bytes()
    added_once(fresh, reviews("eve", edition=1), replace=True)
    assert added_once(fresh, reviews("eve"), replace=True).status == "replaced"
    assert data_file(fresh, first.key).read_bytes() == stored
    load_dataset(fresh, record(fresh, first.key))


@pytest.mark.parametrize("harm", [b"", b"{}\n", None])
def test_a_damaged_dataset_is_an_error_and_adding_it_again_restores_it(
    fresh: Workspace, harm: bytes | None
) -> None:
    key = added_once(fresh, reviews("eve")).key
    path = data_file(fresh, key)
    whole = path.read_bytes()
    path.unlink() if harm is None else path.write_bytes(harm)
    with pytest.raises(DatasetAlteredError, match="sift contributors add"):
        load_dataset(fresh, record(fresh, key))
    assert added_once(fresh, reviews("eve")).status == "restored"
    assert path.read_bytes() == whole


def test_two_spellings_of_one_id_in_one_go_are_refused(fresh: Workspace) -> None:
    decomposed = unicodedata.normalize("NFD", "zoë")
    with pytest.raises(UsageError, match=r"another Unicode spelling") as caught:
        added_once(fresh, texts("zoë", 3) + texts(decomposed, 3))
    assert "zo\\xeb" in str(caught.value) and "zoe\\u0308" in str(caught.value)


def test_another_spelling_of_an_id_later_is_the_same_contributor(fresh: Workspace) -> None:
    decomposed = unicodedata.normalize("NFD", "zoë")
    first = added_once(fresh, texts(decomposed, 3))
    again = added_once(fresh, texts("zoë", 3))
    assert (again.status, again.key) == ("unchanged", first.key)
    with fresh.lineage.reader() as reader:
        names = [row.external_id for row in reader.contributors()]
    assert "zoë" in names, "stored in normal form C"


def test_a_contributor_who_asked_to_leave_is_not_added_again(fresh: Workspace) -> None:
    added_once(fresh, reviews("eve"))
    request(fresh, "eve")
    before = tree(fresh.root)
    with pytest.raises(UsageError, match="opted out"):
        added_once(fresh, reviews("eve", edition=1), replace=True)
    assert tree(fresh.root) == before


@pytest.mark.parametrize("where", ["data", "lineage"])
def test_a_full_disk_leaves_the_datasets_as_they_were(
    fresh: Workspace, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    added_once(fresh, reviews("eve"))
    before = tree(fresh.root)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if where == "data":
            patch.setattr(os, "fsync", full)
        else:
            patch.setattr("flows.training.intake.record_dataset", full)
        with pytest.raises(OSError, match="No space left"):
            added_once(fresh, reviews("eve", edition=1), replace=True)
    assert {k: v for k, v in tree(fresh.root).items() if k != "lineage.duckdb"} == {
        k: v for k, v in before.items() if k != "lineage.duckdb"
    }
    key = fresh.key_of("eve")
    load_dataset(fresh, record(fresh, key))


def test_a_workspace_without_its_lineage_store_is_named_as_such(fresh: Workspace) -> None:
    (fresh.root / "lineage.duckdb").unlink()
    with pytest.raises(LineageMissingError):
        added_once(fresh, reviews("eve"))
    assert not (fresh.root / "lineage.duckdb").exists()
