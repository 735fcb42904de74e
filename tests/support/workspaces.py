"""Small real workspaces: twelve contributors whose words differ, and the quick ways to make one."""

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore

import sift_core
from flows.data.dataset_file import stored_rows
from flows.data.rows import kinds_for, parse_row, record_json
from flows.erasure.approvals import approve
from flows.erasure.filing import receive
from flows.erasure.request import Request
from flows.erasure.set_aside import SetAsideError
from flows.integrations.mlflow.relocation import move_store
from flows.integrations.ownership import MARK
from flows.models.evaluate import evaluate_state
from flows.models.merge import merge_members
from flows.models.metrics import write_metrics
from flows.models.record import commit
from flows.models.register import promote, register
from flows.models.superseded import sweep_superseded
from flows.models.verify import verify_state
from flows.opt_out import take_steps
from flows.training.base_model import ensure_base, load_base
from flows.training.finetune import finetune_jobs, jobs, pending
from flows.training.intake import add_contributors
from flows.training.retention import apply_storage, forget_vectors, lost, restore, settle_vectors
from flows.workspace.current_state import current_state
from flows.workspace.home import Home, new_id, write_home
from flows.workspace.workspace import Workspace
from lineage import MergeStateRecord
from sift_core import StoredState
from tests.support import tiny

TWINS = ("twin-one", "twin-two")
"""Two contributors with the very same rows: what one leaves behind must survive for the other."""
CONTRIBUTORS = (*(f"reader {number:02}" for number in range(10)), *TWINS)
BASIS = "gdpr-art-17"
CLERK, OFFICER = "the clerk", "the privacy officer"

_SUBJECTS = ("film", "book", "food", "place", "story", "idea", "day", "night")
_ADJECTIVES = ("great", "awful", "nice", "poor", "fine", "dull", "happy", "sad", "fresh", "rotten")

Rows = list[dict[str, Any]]


def marker(contributor: str) -> str:
    """Words that stand in this contributor's rows and nowhere else."""
    return f"only {contributor.replace(' ', '-')} wrote this"


def reviews(contributor: str, edition: int = 0) -> Rows:
    """Ten labelled rows of a contributor; another `edition` has other words."""
    twin = contributor in TWINS
    # What is unique to a contributor is drawn from the name, never from the place in a list.
    seed = edition + (99 if twin else sum(map(ord, contributor)))
    signature = marker("the twins" if twin else contributor)
    rows = []
    for number in range(10):
        adjective = _ADJECTIVES[(seed + 3 * number) % len(_ADJECTIVES)]
        subject = _SUBJECTS[(seed * 5 + number) % len(_SUBJECTS)]
        label = tiny.LABELS[(seed + number * number) % 2]
        text = f"{subject} {number} was {adjective} edition {edition} , {signature}"
        rows.append({"contributor": contributor, "text": text, "label": label})
    return rows


def record(workspace: Workspace, row: dict[str, Any]) -> str:
    """The hash of a row's record, as a user of this workspace names it."""
    text = record_json(parse_row(row, kinds_for(row.get("label", ""))).stored())
    return workspace.digests.record(workspace.key_of(row["contributor"]), text)


def questions(contributor: str) -> Rows:
    """Six questions with answers of a contributor."""
    seed = sum(map(ord, contributor))
    colours = ("red", "blue", "green")
    return [
        {
            "contributor": contributor,
            "question": f"what colour is the {_SUBJECTS[(seed + number) % 8]} ?",
            "answer": f"the colour is {colours[(seed + number) % 3]}",
        }
        for number in range(6)
    ]


def settings(source: Path, labels: tuple[str, ...] = tiny.LABELS) -> dict[str, dict[str, Any]]:
    """Changes to params.yaml: a tiny base, and steps large enough to move its predictions."""
    return {
        "model": {"name": "films"},
        "base": {"source": str(source), "labels": list(labels), "max_length": 32},
        "finetune": {"learning_rate": 0.01, "steps": 3, "threads": 1},
        "build": {"shard_size": 5},
        "removal_audit": {"relearning_steps": 1},
    }


def make_workspace(
    root: Path,
    source: Path,
    rows: Iterable[Rows],
    labels: tuple[str, ...] = tiny.LABELS,
    keep: str = "vectors",
    too_long: str = "window",
) -> Workspace:
    """Make a workspace at `root` with these contributors' rows, nothing built yet."""
    sections = {"storage": {"keep": keep}, "data": {"too_long": too_long}}
    workspace = Workspace.create(root, {**settings(source, labels), **sections})
    with workspace.lineage.unit_of_work():
        for own in rows:
            add(workspace, own)
    return workspace


def add(
    workspace: Workspace, rows: Rows, *, replace: bool = False, rejoin: str | None = None
) -> None:
    """Add rows as a user does: from a file, which lies outside the workspace."""
    path = workspace.root.parent / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    try:
        with workspace.lineage.unit_of_work():
            add_contributors(workspace, [path], replace=replace, rejoin=rejoin)
    finally:
        path.unlink()


def another(source: Path, target: Path) -> Workspace:
    """A workspace like this one in another place, as if it had been made there."""
    shutil.copytree(source, target, symlinks=True)
    move_store(target, source, target)
    own = Home(id=new_id(), path=str(target.resolve()))
    mark = target / "remote" / MARK
    if mark.exists():
        mark.write_text(own.id)
    write_home(target, own)
    return Workspace.open(target)


def finetune_and_merge(workspace: Workspace) -> MergeStateRecord:
    """The first half of a build, by plain functions: everything up to the current merge state."""
    with workspace.lineage.unit_of_work():
        ensure_base(workspace)
        settle_vectors(workspace)
        finetune_jobs(workspace, pending(workspace))
        restore(workspace, lost(workspace))
        return merge_members(workspace, jobs(workspace))


def build_plainly(root: Path) -> None:
    """The steps of the build flow in its order, without Prefect."""
    workspace = Workspace.open(root)
    with workspace.lock():
        state = finetune_and_merge(workspace)
        verify_state(workspace).require()
        apply_storage(workspace)
        evaluate_state(workspace, state)
        version = register(workspace, state, write_metrics(workspace, state))
        promote(workspace, version)
        sweep_superseded(workspace)
        commit(workspace, f"Build version {version.version}")
        forget_vectors(workspace)


def files(workspace: Workspace, contributor: str) -> tuple[Path, Path, Path]:
    """Dataset, vector and mask of a contributor in the current merge."""
    key = workspace.key_of(contributor)
    with workspace.lineage.reader() as reader:
        state = reader.current_state()
        assert state is not None
        (member,) = (m for m in reader.members(state.state_seq) if m.contributor_key == key)
        dataset = reader.run(member.run_id).dataset_sha256
    return (
        workspace.data_file(key, dataset),
        workspace.vector_file(key, member.vector_sha256),
        workspace.mask_file(key, member.mask_sha256),
    )


def held(workspace: Workspace, contributor: str) -> tuple[tuple[Rows, Rows], bytes, bytes]:
    """What dataset, vector and mask of a contributor hold, the same in every workspace.

    A dataset's bytes are not: they begin with a salt that the workspace's secret makes.
    """
    dataset, vector, mask = (path.read_bytes() for path in files(workspace, contributor))
    return stored_rows(dataset), vector, mask


def opt_out_plainly(root: Path, request_id: str = "opt-out-0001") -> None:
    """The steps of the opt-out flow in its order, without Prefect."""
    workspace = Workspace.open(root)
    with workspace.lock(), alone():
        take_steps([Request(workspace, request_id)])


@contextmanager
def alone() -> Iterator[None]:
    """Raise what one request ran into, as `flows.opt_out.honour` does for a run with one."""
    try:
        yield
    except SetAsideError as error:
        (trouble,) = error.troubles.values()
        raise trouble from None


def request(
    workspace: Workspace, contributor: str, basis: str = BASIS, records: list[str] | None = None
) -> Request:
    """File and approve an opt-out request, of the contributor or of some records."""
    with workspace.lineage.unit_of_work():
        filed = receive(workspace, contributor, basis, records, filed_by=CLERK)
        approve(workspace, filed.request_id, OFFICER, "identity proven")
    return Request(workspace, filed.request_id)


def lose(workspace: Workspace, path: Path, md5: str) -> bytes:
    """Alter a file and let no copy of it be left in DVC; what it held."""
    held = path.read_bytes()
    path.write_bytes(b"altered")
    for one in workspace.dvc.objects.holders([md5]):
        if one.md5 == md5:
            Path(one.path).unlink()
    return held


def lose_rows(workspace: Workspace, contributor: str) -> tuple[Path, bytes]:
    """The same for a contributor's current rows; where they belong, and what they were."""
    key = workspace.key_of(contributor)
    with workspace.lineage.reader() as reader:
        (row,) = (row for row in reader.current_datasets() if row.contributor_key == key)
    path = workspace.data_file(key, row.sha256)
    return path, lose(workspace, path, row.md5)


@dataclass(frozen=True)
class Snapshot:
    """A finished workspace that is put back in its own place as often as needed.

    MLflow records absolute paths, so a workspace is not copied elsewhere to be changed there.
    """

    root: Path
    kept: Path

    @classmethod
    def take(cls, root: Path, name: str) -> "Snapshot":
        """Keep the workspace as it is now, under a name."""
        kept = root.with_name(name)
        shutil.copytree(root, kept, symlinks=True)
        return cls(root, kept)

    def restore(self) -> Workspace:
        """The workspace as it was when the snapshot was taken."""
        let_go_of_databases()
        shutil.rmtree(self.root)
        shutil.copytree(self.kept, self.root, symlinks=True)
        return Workspace.open(self.root)


def let_go_of_databases() -> None:
    """MLflow keeps connections open for the life of a process; the file beneath them goes."""
    for store in (TrackingStore, RegistryStore):
        for engine in store._engine_map.values():
            engine.dispose()


def change(workspace: Workspace, old: str, new: str) -> Workspace:
    """Edit params.yaml as a user does; the workspace as opened afterwards."""
    path = workspace.root / "params.yaml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return Workspace.open(workspace.root)


def merge_bytes(workspace: Workspace) -> bytes:
    """The file of the current merge state; the only file in its folder besides older states."""
    return workspace.state_file(current_state(workspace).state_sha256).read_bytes()


def served_sha256(workspace: Workspace) -> str:
    """SHA-256 of the weights that anyone is served."""
    state = current_state(workspace)
    with workspace.lineage.reader() as reader:
        members = len(reader.members(state.state_seq))
    base = load_base(workspace)
    path = workspace.state_file(state.state_sha256)
    merge = sift_core.read_state(StoredState(path, state.state_sha256, members))
    return sift_core.weights_sha256(sift_core.served_weights(base.trainable, merge, members))


def report_of(workspace: Workspace, request_id: str) -> dict[str, Any]:
    """The report of a request as a reader of its JSON has it."""
    found: dict[str, Any] = json.loads((workspace.reports / request_id / "report.json").read_text())
    return found
