"""Finished merges and builds, made once and given afresh to each test."""

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.erasure.steps.removed import remove
from flows.integrations.mlflow.own_store import OwnStore
from flows.integrations.mlflow.relocation import move_store
from flows.workspace.workspace import Workspace
from sift_core import trainer
from tests.support.departures import HOSTILE_BASIS, LEAVER, Departure, belongings
from tests.support.kept import FEW, Both, built_keeping
from tests.support.served import MEMBERS, Served, finished_merge, remake_elsewhere
from tests.support.tidy import LEAVING
from tests.support.traces import tail, traces
from tests.support.workspaces import (
    CONTRIBUTORS,
    Snapshot,
    add,
    another,
    build_plainly,
    files,
    make_workspace,
    merge_bytes,
    request,
    reviews,
)


@pytest.fixture(scope="session", autouse=True)
def _mlflow_migrated_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow runs its fifty migrations for the first workspace; others get a copy, moved.

    Three seconds each. `integrations/mlflow/test_registry.py` makes its databases all the same.
    """
    made = tmp_path_factory.mktemp("mlflow")
    really_make = OwnStore._make_database

    def make(store: OwnStore) -> None:
        if not (made / "mlflow.db").exists():
            really_make(store)
            shutil.copyfile(store.database, made / "mlflow.db")
            (made / "root").write_text(str(store.root))
            return
        draft = store.root / ".sift" / "tmp" / "made"
        draft.mkdir(parents=True, exist_ok=True)  # of one that was killed
        shutil.copyfile(made / "mlflow.db", draft / "mlflow.db")
        move_store(draft, Path((made / "root").read_text()), store.root)
        (draft / "mlflow.db").replace(store.database)
        draft.rmdir()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(OwnStore, "_make_database", make)
        yield


@pytest.fixture(scope="session")
def _classifier(tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path) -> Served:
    root = tmp_path_factory.mktemp("classifier") / "workspace"
    return finished_merge(root, tiny_classifier, "classification", MEMBERS)


@pytest.fixture(scope="session")
def _generator(tmp_path_factory: pytest.TempPathFactory, tiny_causal: Path) -> Served:
    root = tmp_path_factory.mktemp("generator") / "workspace"
    return finished_merge(root, tiny_causal, "generation", MEMBERS[:1])


@pytest.fixture
def served(tmp_path: Path, _classifier: Served) -> Served:
    """A workspace with a merged classifier, under a path that needs quoting everywhere."""
    return remake_elsewhere(_classifier, tmp_path / "work spaçe")


@pytest.fixture
def served_generator(tmp_path: Path, _generator: Served) -> Served:
    """A workspace with a merged causal language model."""
    return remake_elsewhere(_generator, tmp_path / "generator")


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """One Prefect server for all flows of this session, with a store of its own."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path) -> Snapshot:
    from tests.support.prefect_runs import build_by_flow

    root = tmp_path_factory.mktemp("built") / "workspace"
    make_workspace(root, tiny_classifier, [[row for c in CONTRIBUTORS for row in reviews(c)]])
    build_by_flow(Workspace.open(root))
    return Snapshot.take(root, "as built")


@pytest.fixture
def built(_built: Snapshot) -> Workspace:
    """A workspace of twelve contributors as the real `build` flow left it, to change at will."""
    workspace = _built.restore()
    # The garbage collector would walk torch, Prefect and MLflow again and again: half a second
    # each time, and the Trainer collects after every run.
    gc.freeze()
    return workspace


@pytest.fixture(scope="session")
def _fresh(tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path) -> Path:
    root = tmp_path_factory.mktemp("fresh") / "workspace"
    make_workspace(root, tiny_classifier, [reviews("ann"), reviews("bob")])
    return root


@pytest.fixture
def fresh(tmp_path: Path, _fresh: Path) -> Workspace:
    """A workspace with the rows of two contributors and nothing built: cheap to change."""
    return another(_fresh, tmp_path / "films")


@pytest.fixture(scope="session")
def departure(_built: Snapshot) -> Departure:
    """The whole flow, once, for `LEAVER`."""
    from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL

    from tests.support.prefect_runs import opt_out_by_flow

    workspace = _built.restore()
    needles = belongings(workspace, LEAVER)
    removal = request(workspace, LEAVER, HOSTILE_BASIS)
    before = traces(workspace.root, needles)
    (result,) = opt_out_by_flow(workspace, removal.request_id)
    snapshot = Snapshot.take(workspace.root, "after an opt-out")
    store = PREFECT_SERVER_DATABASE_CONNECTION_URL.value()
    assert store is not None
    url = store if isinstance(store, str) else store.get_secret_value()
    return Departure(snapshot, result, needles, before, Path(url.partition("///")[2]).parent)


@pytest.fixture
def left(departure: Departure) -> Workspace:
    """The workspace after `LEAVER` has left, to change at will."""
    return departure.snapshot.restore()


@pytest.fixture(scope="session")
def _both(tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path) -> Both:
    roots = {keep: tmp_path_factory.mktemp(keep) / "workspace" for keep in ("masks", "vectors")}
    places = {keep: built_keeping(root, tiny_classifier, keep) for keep, root in roots.items()}
    needles = {who: tail(files(places["vectors"], who)[1].read_bytes()) for who in FEW}
    snapshots = {keep: Snapshot.take(root, "as built") for keep, root in roots.items()}
    return Both(snapshots["masks"], snapshots["vectors"], needles)


@pytest.fixture
def masks_only(_both: Both) -> Workspace:
    """A built workspace of a few contributors that keeps masks only."""
    return _both.masks.restore()


@pytest.fixture
def with_vectors(_both: Both) -> Workspace:
    """The same contributors' workspace that keeps vectors."""
    return _both.vectors.restore()


@pytest.fixture
def needles(_both: Both) -> dict[str, bytes]:
    """The end of each of these contributors' vectors."""
    return _both.needles


@pytest.fixture
def other_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same finetuning gives other bits, as another machine's kernels would give."""
    seeded = trainer.set_seed
    monkeypatch.setattr(trainer, "set_seed", lambda seed: seeded(seed + 1))


@pytest.fixture(scope="module")
def without_leaver(_built: Snapshot) -> bytes:
    """The merge state after an opt-out that nobody killed."""
    workspace = _built.restore()
    removal = request(workspace, LEAVING)
    remove([removal])
    return merge_bytes(workspace)


@pytest.fixture(scope="module")
def with_newcomer(_built: Snapshot) -> bytes:
    """The merge state after a build that nobody killed."""
    workspace = _built.restore()
    add(workspace, reviews("newcomer"))
    build_plainly(workspace.root)
    return merge_bytes(workspace)
