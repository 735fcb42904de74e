import contextlib
import json
import logging
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from flows.errors import UsageError
from flows.integrations.mlflow import model_folder as model_folder_file
from flows.integrations.mlflow import own_store
from flows.integrations.mlflow.card import ModelCard
from flows.integrations.mlflow.registry import (
    LiveModelError,
    Mlflow,
    ModelStoreError,
    Registered,
    StoredModel,
)
from flows.integrations.mlflow.rows import ModelRows
from tests.support.served import (
    MEMBERS,
    METRICS,
    TEXTS,
    Served,
    mlflow_settings_kept,
    pointed_at,
    remake_elsewhere,
)
from tests.support.workspaces import let_go_of_databases

ANN, BOB = MEMBERS
SAID = "a-tag-that-is-nowhere-else"


class KilledError(BaseException):
    """Stands in for SIGKILL: nothing catches it."""


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once: its migrations take four seconds."""
    root = tmp_path_factory.mktemp("mlflow")
    with Mlflow.own(root, "films").backend.asking("make a store"):
        pass
    return root / "mlflow.db"


@pytest.fixture
def models(served: Served, empty_database: Path) -> Mlflow:
    shutil.copy(empty_database, served.root / "mlflow.db")
    return Mlflow.own(served.root, "films")


def register(models: Mlflow, served: Served, card: ModelCard | None = None) -> Registered:
    return models.registration.register(
        served.weights, card or served.card, METRICS, {"said": SAID}
    )


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def model_folder(models: Mlflow, registered: Registered) -> Path:
    return models.backend.artifacts / "models" / registered.model_id / "artifacts"


def rows(models: Mlflow) -> dict[str, int]:
    """How many rows each table has that a version writes to."""
    with contextlib.closing(sqlite3.connect(models.backend.database)) as connection:
        names = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
            if name not in ("alembic_version", "experiments", "registered_models", "workspaces")
        ]
        counted = {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for name in names
        }
    return {name: count for name, count in counted.items() if count}


def test_the_champion_loads_and_predicts_for_members_and_for_nobody(
    models: Mlflow, served: Served
) -> None:
    models.registration.set_champion(register(models, served).version)
    texts = pd.DataFrame({"text": TEXTS})
    with pointed_at(models):
        model = mlflow.pyfunc.load_model("models:/films@champion")
        plain = model.predict(texts)
        ann = model.predict(texts, params={"contributor": ANN})
        bob = model.predict(texts, params={"contributor": BOB})
    assert list(plain.columns) == ["label", "score"] and set(plain["label"]) <= {"bad", "good"}
    assert not ann.equals(plain) and not bob.equals(plain) and not ann.equals(bob)
    for nobody in ({"contributor": ""}, {"contributor": "a stranger"}):
        assert model.predict(texts, params=nobody).equals(plain)


def test_a_generator_loads_and_completes(served_generator: Served, empty_database: Path) -> None:
    shutil.copy(empty_database, served_generator.root / "mlflow.db")
    models = Mlflow.own(served_generator.root, "films")
    models.registration.set_champion(register(models, served_generator).version)
    prompts = pd.DataFrame({"prompt": ["where is the city ?"]})
    with pointed_at(models):
        model = mlflow.pyfunc.load_model("models:/films@champion")
        answer = model.predict(prompts, params={"contributor": ANN, "max_new_tokens": 4})
        assert list(model.predict(prompts, params={"max_new_tokens": 4})) == ["completion"]
    assert list(answer.columns) == ["completion"]


def test_the_served_folder_in_the_model_is_a_plain_hugging_face_folder(
    models: Mlflow, served: Served
) -> None:
    kept = model_folder(models, register(models, served)) / "artifacts" / "served"
    assert kept == models.reading.served_folder(1)
    assert files(kept) == files(served.folder)
    for name in files(kept):
        assert (kept / name).read_bytes() == (served.folder / name).read_bytes()


def test_a_model_holds_no_mask_no_pickle_and_nothing_unexpected(
    models: Mlflow, served: Served
) -> None:
    folder = model_folder(models, register(models, served))
    ours = {f"artifacts/{name}" for name in files(served.weights)}
    assert files(folder) == ours | {
        "MLmodel",
        "artifacts/card.json",
        "conda.yaml",
        "input_example.json",
        "model.py",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
    }
    flavors = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]
    assert list(flavors) == ["python_function"]
    assert flavors["python_function"]["loader_module"] == "mlflow.pyfunc.loaders.code_model"
    assert not [key for key in flavors["python_function"] if "pickle" in key]
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            path.read_text(encoding="utf-8")


def test_no_contributor_is_named_anywhere(models: Mlflow, served: Served) -> None:
    models.registration.set_champion(register(models, served).version)
    for path in [models.backend.database, *models.backend.artifacts.rglob("*")]:
        if path.is_file():
            assert not any(member.encode() in path.read_bytes() for member in MEMBERS)


def test_requirements_are_pinned_to_releases_that_an_index_has(
    models: Mlflow, served: Served
) -> None:
    text = (model_folder(models, register(models, served)) / "requirements.txt").read_text()
    pins = dict(line.split("==") for line in text.splitlines() if "==" in line)
    assert {"mlflow", "torch", "transformers", "safetensors", "numpy"} <= pins.keys()
    assert text.startswith("sift-masks") and "+" not in text


def test_registering_needs_no_network_and_leaves_the_process_as_it_was(
    models: Mlflow, served: Served, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    level = logging.getLogger("mlflow").level
    with mlflow_settings_kept():
        mlflow.set_tracking_uri("sqlite:////nowhere/else.db")
        models.registration.set_champion(register(models, served).version)
        assert mlflow.get_tracking_uri() == "sqlite:////nowhere/else.db"
        assert mlflow.active_run() is None
    assert logging.getLogger("mlflow").level == level
    printed = capfd.readouterr()
    assert printed.out == "" and "INFO" not in printed.err


def test_two_workspaces_in_one_process_do_not_meet(
    models: Mlflow, served: Served, tmp_path: Path, empty_database: Path
) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(empty_database, tmp_path / "other" / "mlflow.db")
    other = Mlflow.own(tmp_path / "other", "films")
    register(models, served)
    assert other.reading.versions() == []
    register(other, served, served.at(4))
    register(other, served, served.at(5))
    assert models.reading.versions() == [1] and other.reading.versions() == [1, 2]


def test_a_question_makes_no_store(tmp_path: Path) -> None:
    models = Mlflow.own(tmp_path, "films")
    assert models.reading.versions() == [] and models.reading.champion() is None
    assert models.reading.find_by_tag("a" * 64) is None and models.destruction.holders([1]) == []
    assert list(tmp_path.iterdir()) == []


def test_a_version_is_not_champion_until_it_is_made_so(models: Mlflow, served: Served) -> None:
    first = register(models, served)
    assert models.reading.champion() is None
    models.registration.set_champion(first.version)
    second = register(models, served, served.at(2))
    assert models.reading.champion() == first.version
    models.registration.set_champion(second.version)
    assert models.reading.champion() == second.version
    with pytest.raises(ModelStoreError, match="version 9"):
        models.registration.set_champion(9)
    assert models.reading.champion() == second.version


def test_tags_tie_a_version_to_its_lineage_rows(models: Mlflow, served: Served) -> None:
    registered = register(models, served)
    tags = models.reading.tags(registered.version)
    assert tags["said"] == SAID
    assert tags["sift.state_sha256"] == served.card.state_sha256
    assert tags["sift.state_seq"] == "1"
    assert tags["sift.served_sha256"] == served.card.served_sha256
    assert tags["sift.model_id"] == registered.model_id
    with pytest.raises(ModelStoreError):
        models.reading.tags(9)


def test_a_merge_state_is_registered_once_and_a_recurring_one_again(
    models: Mlflow, served: Served
) -> None:
    first = register(models, served)
    assert register(models, served) == first
    again = register(models, served, served.at(3, served.card.state_sha256))
    assert models.reading.versions() == [1, 2]
    assert models.reading.find_by_tag(served.card.state_sha256, 1) == first
    assert models.reading.find_by_tag(served.card.state_sha256, 3) == again
    assert models.reading.find_by_tag(served.card.state_sha256) == again
    assert models.reading.find_by_tag("b" * 64) is None


STEPS = [
    "create_run",
    "create_logged_model",
    "write_model",
    "log_batch",
    "finalize_logged_model",
    "set_terminated",
    "create_registered_model",
    "create_model_version",
]


@contextlib.contextmanager
def killed(step: str, when: str) -> Iterator[None]:
    """Die right before or right after one step of `register`."""
    owner: Any = model_folder_file if hasattr(model_folder_file, step) else MlflowClient
    real: Callable[..., Any] = getattr(owner, step)

    def dying(*args: Any, **kwargs: Any) -> Any:
        if when == "after":
            real(*args, **kwargs)
        raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, step, dying)
        with pytest.raises(KilledError):
            yield


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_register_killed_anywhere_ends_in_one_version_when_run_again(
    models: Mlflow, served: Served, step: str, when: str
) -> None:
    with killed(step, when):
        register(models, served)
    fresh = Mlflow.own(served.root, "films")
    registered = register(fresh, served)
    assert fresh.reading.versions() == [1] and registered.version == 1
    assert fresh.destruction.leftovers() == []
    assert [path.name for path in (models.backend.artifacts / "models").iterdir()] == [
        registered.model_id
    ]
    counted = rows(fresh)
    assert (counted["runs"], counted["logged_models"], counted["model_versions"]) == (1, 1, 1)
    assert files(fresh.reading.served_folder(1)) == files(served.folder)


@pytest.mark.parametrize("step", ["write_model", "finalize_logged_model", "create_model_version"])
def test_leftovers_of_a_kill_are_found_with_any_version_and_are_really_destroyed(
    models: Mlflow, served: Served, step: str
) -> None:
    with killed(step, "before" if step == "create_model_version" else "after"):
        register(models, served)
    left = models.destruction.leftovers()
    assert [item.place for item in left] == ["mlflow-model", "mlflow-run"]
    assert left[0].bytes > (served.folder / "model.safetensors").stat().st_size
    assert models.destruction.holders([]) == left
    assert models.backend.still_there(left) == left
    models.destruction.destroy(left)
    assert models.backend.still_there(left) == []
    assert models.destruction.leftovers() == [] and rows(models) == {}


def test_a_model_in_mlflows_bin_is_found_with_all_its_bytes(models: Mlflow, served: Served) -> None:
    with killed("create_model_version", "before"):
        register(models, served)
    left = models.destruction.leftovers()
    client = MlflowClient(models.tracking_uri, models.tracking_uri)
    client.delete_logged_model(left[0].locator)
    client.delete_run(left[1].locator)
    assert models.destruction.leftovers() == left
    models.destruction.destroy(left)
    assert models.backend.still_there(left) == []


def test_a_version_that_somebody_deleted_in_mlflow_is_found_and_really_destroyed(
    models: Mlflow, served: Served
) -> None:
    first = register(models, served)
    client = MlflowClient(models.tracking_uri, models.tracking_uri)
    client.delete_model_version("films", str(first.version))
    assert [item.place for item in models.destruction.leftovers()] == ["mlflow-model", "mlflow-run"]
    second = models.registration.register(served.weights, served.at(2), METRICS, {})
    assert second.version == first.version + 1
    held = models.destruction.holders([first.version])
    assert [(item.place, item.locator) for item in held] == [("mlflow-registry", "1")]
    models.destruction.destroy(held)
    assert models.backend.still_there(held[:1]) == models.destruction.leftovers() == []
    content = models.backend.database.read_bytes()
    assert SAID.encode() not in content and first.model_id.encode() not in content


def test_a_version_that_a_user_registered_under_the_same_name_is_left_alone(
    models: Mlflow, served: Served
) -> None:
    register(models, served)
    client = MlflowClient(models.tracking_uri, models.tracking_uri)
    client.create_model_version("films", source=str(served.folder))
    models.registration.set_champion(register(models, served, served.at(2)).version)
    models.destruction.destroy(models.destruction.holders([1, 2]))
    assert models.reading.versions() == [3]
    assert client.get_model_version("films", "2").source == str(served.folder)


def test_a_kill_while_the_store_is_made_leaves_no_half_store(served: Served) -> None:
    models = Mlflow.own(served.root, "films")

    def dying(*_: object) -> None:
        raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        with pytest.raises(KilledError):
            register(models, served)
    assert not models.backend.database.exists() and models.reading.versions() == []
    assert register(models, served).version == 1


def test_a_killed_register_leaves_no_weights_in_the_systems_temporary_folder(
    models: Mlflow, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with (
        pytest.raises(KilledError),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(ModelCard, "write", lambda *_: (_ for _ in ()).throw(KilledError))
        register(models, served)
    assert not [name for name in files(temporary) if not name.endswith(".py")]


def superseded(models: Mlflow, served: Served) -> tuple[Registered, Registered]:
    """An old version and the champion that took its place."""
    old = register(models, served)
    models.registration.set_champion(old.version)
    new = models.registration.register(served.weights, served.at(2), METRICS, {})
    models.registration.set_champion(new.version)
    return old, new


def test_a_destroyed_version_is_nowhere_and_the_champion_goes_on(
    models: Mlflow, served: Served
) -> None:
    old, new = superseded(models, served)
    size = models.backend.database.stat().st_size
    held = models.destruction.holders([old.version])
    assert [(item.place, item.locator) for item in held] == [
        ("mlflow-registry", "1"),
        ("mlflow-model", old.model_id),
        ("mlflow-run", old.run_id),
    ]
    assert models.backend.still_there(held) == held

    models.destruction.destroy(held)

    assert models.backend.still_there(held) == []
    assert models.reading.versions() == [new.version] and models.reading.champion() == new.version
    assert models.destruction.holders([old.version]) == []
    assert models.reading.find_by_tag(served.card.state_sha256) is None
    assert files(models.backend.artifacts) == {
        f"models/{new.model_id}/artifacts/{name}" for name in files(model_folder(models, new))
    }
    content = models.backend.database.read_bytes()
    for trace in (old.run_id, old.model_id, "films state 1", SAID, served.card.state_sha256):
        assert trace.encode() not in content
    assert b"films state 2" in content
    assert models.backend.database.stat().st_size <= size
    with pointed_at(models):
        model = mlflow.pyfunc.load_model("models:/films@champion")
        assert len(model.predict(pd.DataFrame({"text": TEXTS}), params={"contributor": ANN})) == 3


def test_destroying_leaves_no_dangling_row(models: Mlflow, served: Served) -> None:
    models.registration.set_champion(
        models.registration.register(served.weights, served.at(2), METRICS, {}).version
    )
    one = rows(models)
    other = models.registration.register(served.weights, served.at(3), METRICS, {})
    models.registration.set_champion(other.version)
    models.destruction.destroy(models.destruction.holders([1]))
    assert rows(models) == one


def test_a_version_number_is_never_given_twice(models: Mlflow, served: Served) -> None:
    old, new = superseded(models, served)
    models.destruction.destroy(models.destruction.holders([old.version]))
    assert register(models, served, served.at(3)).version == new.version + 1


def test_a_store_that_has_lost_its_rows_gives_no_number_twice(
    models: Mlflow, served: Served, empty_database: Path
) -> None:
    old, new = superseded(models, served)
    lost = Mlflow.own(served.root, "films")
    let_go_of_databases()
    shutil.copy(empty_database, lost.backend.database)

    again = lost.registration.register(served.weights, served.at(3), METRICS, {}, after=new.version)

    assert again.version == new.version + 1
    assert lost.reading.versions() == [again.version]
    lost.destruction.destroy(lost.destruction.leftovers())
    assert lost.destruction.leftovers() == []
    numbers = [StoredModel("mlflow-registry", str(row.version), 0) for row in (old, new)]
    assert lost.backend.still_there(numbers) == []


@pytest.mark.parametrize("stops_after", [0, 1, 2])
def test_a_destroy_killed_anywhere_ends_in_absence_when_run_again(
    models: Mlflow, served: Served, stops_after: int
) -> None:
    old, _ = superseded(models, served)
    held = models.destruction.holders([old.version])
    begun = []

    def dying(*about: object) -> None:
        begun.append(about)
        if len(begun) > stops_after:
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_store.OwnStore, "delete_files", dying)  # of the model, then of the run
        patch.setattr(ModelRows, "vacuum", dying)
        with pytest.raises(KilledError):
            models.destruction.destroy(held)
    fresh = Mlflow.own(served.root, "films")
    assert fresh.backend.still_there(held) != []
    fresh.destruction.destroy(held)
    assert fresh.backend.still_there(held) == []
    fresh.destruction.destroy(held)


def test_the_champion_and_the_newest_version_cannot_be_destroyed(
    models: Mlflow, served: Served
) -> None:
    first = register(models, served)
    models.registration.set_champion(first.version)
    second = register(models, served, served.at(2))
    for number in (first.version, second.version):
        held = models.destruction.holders([number])
        for item in held:
            with pytest.raises(LiveModelError, match="successor"):
                models.destruction.destroy([item])
        assert models.backend.still_there(held) == held
    assert models.reading.versions() == [1, 2]


def test_runs_that_are_not_ours_are_left_alone(models: Mlflow, served: Served) -> None:
    register(models, served)
    client = MlflowClient(models.tracking_uri, models.tracking_uri)
    experiment = client.get_experiment_by_name("films")
    theirs = client.create_run(experiment.experiment_id).info.run_id
    in_the_bin = client.create_run(experiment.experiment_id).info.run_id
    client.delete_run(in_the_bin)
    models.registration.set_champion(register(models, served, served.at(2)).version)
    models.destruction.destroy(models.destruction.holders([1]))
    assert client.get_run(theirs).info.lifecycle_stage == "active"
    assert client.get_run(in_the_bin).info.lifecycle_stage == "deleted"


@pytest.mark.parametrize("name", ["with 'quotes\"", "100% <b>", "日本語", "a;b&c", "a#b"])
def test_a_workspace_in_an_odd_folder_serves(
    served: Served, empty_database: Path, tmp_path: Path, name: str
) -> None:
    odd = remake_elsewhere(served, tmp_path / name)
    shutil.copy(empty_database, odd.root / "mlflow.db")
    models = Mlflow.own(odd.root, "films")
    old, _ = superseded(models, odd)
    held = models.destruction.holders([old.version])
    models.destruction.destroy(held)
    assert models.backend.still_there(held) == []
    with pointed_at(models):
        model = mlflow.pyfunc.load_model("models:/films@champion")
        assert len(model.predict(pd.DataFrame({"text": TEXTS}), params={"contributor": ANN})) == 3


def test_a_folder_that_mlflow_cannot_load_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="move the workspace"):
        Mlflow.own(tmp_path / "a%41", "films")


def test_a_damaged_store_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(ModelStoreError, match="MLflow could not"):
        Mlflow.own(tmp_path, "films").reading.versions()


def test_the_input_example_asks_for_nobody(models: Mlflow, served: Served) -> None:
    folder = model_folder(models, register(models, served))
    example = json.loads((folder / "serving_input_example.json").read_text())
    assert example["params"] == {"contributor": ""}
