"""The door to MLflow: register a model version, move the champion, and really destroy one.

Three things in MLflow make up a version, and each is called a *place* here:

- `mlflow-registry`: the row that gives the version its number, with tags and aliases;
- `mlflow-model`: the logged model, that is the bytes under `mlruns/models/m-…`;
- `mlflow-run`: the run with its metrics and tags.

The version's row is written last and in one transaction with its tags, so a version that can be
found is whole. Runs and models that no version points to are leftovers of a killed `register`.

MLflow's own deletion keeps the bytes of the model, the tags of the version and a row that names
the model's folder. `destroy` therefore does what `mlflow gc` does for exactly the objects it is
given (gc also sweeps whatever else a user has put in the bin, and moves the process's tracking
URI), deletes the rows, and rewrites the database file so that free pages keep no trace.
"""

import os

# Read once, when mlflow is imported: this house phones nobody.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import contextlib
import logging
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import mlflow.pyfunc
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Metric, ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.utils.file_utils import local_file_uri_to_path
from packaging.version import Version
from sqlalchemy import URL

from flows.errors import FlowError, UsageError
from flows.serving.card import DEFAULT_NEW_TOKENS, ModelCard

CHAMPION = "champion"
TAG_STATE = "sift.state_sha256"
TAG_SEQ = "sift.state_seq"
TAG_MODEL = "sift.model_id"

_MODEL_CODE = Path(__file__).parents[1] / "serving" / "model.py"
_REQUIREMENTS = (
    "sift-masks",
    "mlflow",
    "numpy",
    "pandas",
    "pydantic",
    "safetensors",
    "torch",
    "transformers",
)
_VERSION_TABLES = ("model_version_tags", "registered_model_aliases", "model_versions")
_BUSY_SECONDS = 20.0


@dataclass(frozen=True)
class _Shape:
    """What a model of one task takes and gives."""

    column: str
    example: str
    outputs: tuple[tuple[str, DataType], ...]
    params: tuple[ParamSpec, ...]


_CONTRIBUTOR = ParamSpec("contributor", DataType.string, "")  # the default is nobody: unmasked
_SHAPES = {
    "classification": _Shape(
        column="text",
        example="A text to classify.",
        outputs=(("label", DataType.string), ("score", DataType.double)),
        params=(_CONTRIBUTOR,),
    ),
    "generation": _Shape(
        column="prompt",
        example="A prompt to complete.",
        outputs=(("completion", DataType.string),),
        params=(_CONTRIBUTOR, ParamSpec("max_new_tokens", DataType.long, DEFAULT_NEW_TOKENS)),
    ),
}

Place = Literal["mlflow-registry", "mlflow-model", "mlflow-run"]


class ModelStoreError(FlowError):
    """MLflow refused or its store cannot be read."""


class LiveModelError(FlowError):
    """A model version that is still needed was about to be destroyed."""


@dataclass(frozen=True)
class Registered:
    """One registered model version and the two MLflow objects behind it."""

    version: int
    run_id: str
    model_id: str


@dataclass(frozen=True)
class StoredModel:
    """One object in MLflow that holds (a part of) a model version.

    `locator` is the version's number, the model's id or the run's id; `bytes` what its folder
    holds on disk, 0 for a registry row.
    """

    place: Place
    locator: str
    bytes: int


class Mlflow:
    """The models of one workspace, under one registered name.

    Metadata is in `<root>/mlflow.db`, artifacts are in `<root>/mlruns`. Every call names its store
    explicitly: MLflow's process-wide tracking URI is neither read nor set.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root = root.resolve()
        if local_file_uri_to_path(str(self.root)) != str(self.root):
            raise UsageError(
                f"MLflow reads a percent sign with two hex digits in {self.root} as an escape.",
                remedy="move the workspace to a folder whose name has none.",
            )
        self.name = name
        self.database = self.root / "mlflow.db"
        self.artifacts = self.root / "mlruns"
        self.tracking_uri = _sqlite(self.database)

    # -- registering -----------------------------------------------------------------------------

    def register(
        self,
        served_dir: Path,
        card: ModelCard,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> Registered:
        """Register the served folder as a new version, not champion yet.

        `served_dir` is a Hugging Face folder, copied into the model as the artifact `served`. A
        version of the same merge state (sha256 and seq) is returned as it is: calling again after
        a kill at any point ends in one version and no leftovers.
        """
        if found := self.find_by_tag(card.state_sha256, card.state_seq):
            return found
        self.destroy(self.leftovers())
        with self._store(f"register {self.name} of merge state {card.state_seq}") as client:
            marks = {
                TAG_STATE: card.state_sha256,
                TAG_SEQ: str(card.state_seq),
                "sift.served_sha256": card.served_sha256,
                "sift.base_id": card.base_id,
                "sift.task": card.task,
                "sift.members": str(len(card.members)),
                **tags,
            }
            experiment_id = self._experiment(client)
            run_id = client.create_run(
                experiment_id, tags=marks, run_name=f"{self.name} state {card.state_seq}"
            ).info.run_id
            model = client.create_logged_model(
                experiment_id, name=self.name, source_run_id=run_id, tags=marks
            )
            folder = Path(local_file_uri_to_path(model.artifact_location))
            _write_model(folder, served_dir, card, run_id, model.model_id)
            now = int(time.time() * 1000)
            client.log_batch(
                run_id,
                metrics=[
                    Metric(key, value, now, 0, model_id=model.model_id, run_id=run_id)
                    for key, value in metrics.items()
                ],
            )
            client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
            client.set_terminated(run_id)
            if _found(client.get_registered_model, self.name) is None:
                client.create_registered_model(self.name)
            created = client.create_model_version(
                self.name,
                source=model.artifact_location,
                run_id=run_id,
                model_id=model.model_id,
                tags={**marks, TAG_MODEL: model.model_id},
            )
            return _registered(created)

    def set_champion(self, number: int) -> None:
        """Make a version the champion: `models:/<name>@champion` is this version from now on."""
        with self._store(f"make version {number} of {self.name} the champion") as client:
            client.get_model_version(self.name, str(number))
            client.set_registered_model_alias(self.name, CHAMPION, str(number))

    def attach(self, number: int, files: Iterable[Path], folder: str) -> None:
        """Copy files beside a version, into its run's artifacts under `folder`; again is the same.

        They are destroyed with the version. Raises ModelStoreError where it does not exist.
        """
        with self._store(f"attach {folder} to version {number} of {self.name}") as client:
            run_id = client.get_model_version(self.name, str(number)).run_id
            for path in files:
                client.log_artifact(run_id, str(path), folder)

    # -- looking ---------------------------------------------------------------------------------

    def champion(self) -> int | None:
        """Return the champion's number, None where there is no champion."""
        if not self.database.exists():
            return None
        with self._store(f"look up the champion of {self.name}") as client:
            model = _found(client.get_registered_model, self.name)
        return int(model.aliases[CHAMPION]) if model and CHAMPION in model.aliases else None

    def versions(self) -> list[int]:
        """Return the numbers of all registered versions, oldest first."""
        return sorted(int(row.version) for row in self._rows())

    def version_tags(self, number: int) -> dict[str, str]:
        """Return a version's tags. Raises ModelStoreError for a version that does not exist."""
        with self._store(f"read the tags of version {number} of {self.name}") as client:
            return dict(client.get_model_version(self.name, str(number)).tags)

    def served_folder(self, number: int) -> Path:
        """Return the folder of a version's unmasked model, as it was registered."""
        model_id = self.version_tags(number)[TAG_MODEL]
        stored = StoredModel("mlflow-model", model_id, 0)
        return self._folder(stored) / "artifacts" / "artifacts" / "served"

    def find_by_tag(self, state_sha256: str, state_seq: int | None = None) -> Registered | None:
        """Return the version of a merge state, the newest where there are several, or None.

        A state may recur (a contributor leaves and comes back): `state_seq` tells its times apart.
        """
        rows = [
            row
            for row in self._rows()
            if row.tags.get(TAG_STATE) == state_sha256
            and state_seq in (None, int(row.tags.get(TAG_SEQ, 0)))
        ]
        return _registered(max(rows, key=lambda row: int(row.version))) if rows else None

    # -- destroying ------------------------------------------------------------------------------

    def holders(self, versions: Iterable[int]) -> list[StoredModel]:
        """Return all that holds these versions, and every leftover of a killed `register`.

        In the order in which to destroy them. A version that is gone already adds nothing.
        """
        wanted = set(versions)
        rows = [_registered(row) for row in self._rows() if int(row.version) in wanted]
        held: list[StoredModel] = []
        for row in sorted(rows, key=lambda row: row.version):
            held.append(StoredModel("mlflow-registry", str(row.version), 0))
            held.append(self._stored("mlflow-model", row.model_id))
            held.append(self._stored("mlflow-run", row.run_id))
        return held + self.leftovers()

    def leftovers(self) -> list[StoredModel]:
        """Return the models and runs of ours that no version points to, those in the bin too.

        And the rows of versions that somebody deleted by MLflow's own means: they are out of sight
        and still name the model. One that is newer than all versions stays until it is not, since
        MLflow would give its number again.
        """
        if not self.database.exists():
            return []
        rows = [_registered(row) for row in self._rows()]
        newest = max((row.version for row in rows), default=0)
        with self._store(f"look for leftovers of {self.name}") as client:
            found = [
                StoredModel("mlflow-registry", str(number), 0)
                for number in self._deleted_versions()
                if number < newest
            ]
            found += [self._stored("mlflow-model", locator) for locator in self._models(client)]
            found += [self._stored("mlflow-run", locator) for locator in self._runs(client)]
        kept = {row.model_id for row in rows} | {row.run_id for row in rows}
        return [stored for stored in found if stored.locator not in kept]

    def destroy(self, stored: Iterable[StoredModel]) -> None:
        """Destroy these objects, bytes and rows, then rewrite the database without their traces.

        What is gone already is passed over, so a killed call is repeated until it ends. Raises
        LiveModelError, before anything is touched, where one belongs to the champion or is the
        newest version (MLflow would give its number to the next one).
        """
        doomed = list(stored)
        if not doomed:
            return
        self._refuse_live(doomed)
        with self._store(f"destroy {len(doomed)} objects of {self.name}") as client:
            # Versions first: a version without its bytes would be a dangling row.
            for item in sorted(doomed, key=lambda item: item.place != "mlflow-registry"):
                if item.place == "mlflow-registry":
                    self._destroy_version(int(item.locator))
                elif item.place == "mlflow-model":
                    _destroy_model(client, item.locator)
                else:
                    _destroy_run(client, item.locator)
                self._sweep_folder(item)
            self._rewrite_database()

    def is_absent(self, stored: StoredModel) -> bool:
        """Look for an object again: True where no row, no folder and no byte of it is left.

        For a model or a run that means its id is nowhere in the database file either, free pages
        and journals included; a version's number is looked for in the registry's tables.
        """
        if stored.place == "mlflow-registry":
            if not self.database.exists():
                return True
            with self._store(f"look for version {stored.locator} of {self.name}"):
                return self._version_rows(int(stored.locator)) == 0
        if self._folder(stored).exists():
            return False
        journals = [
            self.database.with_name(self.database.name + end) for end in ("-journal", "-wal")
        ]
        needle = stored.locator.encode("ascii")
        return not any(
            needle in file.read_bytes() for file in [self.database, *journals] if file.exists()
        )

    # -- inside ----------------------------------------------------------------------------------

    @cached_property
    def _client(self) -> MlflowClient:
        if not self.database.exists():
            self._make_database()
        # Asked first by ourselves: MLflow tries a file that is no database for 100 seconds.
        with contextlib.closing(self._connect()) as connection:
            connection.execute("PRAGMA schema_version")
        return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    @contextlib.contextmanager
    def _store(self, what: str) -> Iterator[MlflowClient]:
        with _quiet():
            try:
                yield self._client
            except (MlflowException, sqlite3.Error) as error:
                raise ModelStoreError(
                    f"MLflow could not {what}: {str(error).strip().splitlines()[0][:300]}",
                    remedy=f"end other processes that use {self.database}, then run the same "
                    "command again; it goes on where it stopped.",
                ) from error

    def _make_database(self) -> None:
        """Make MLflow's tables under another name: its migrations do not survive a kill."""
        draft = self.root / ".sift" / "tmp" / "mlflow.db"
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        store = SqlAlchemyStore(_sqlite(draft), self.artifacts.as_uri())
        store.engine.dispose()
        draft.replace(self.database)

    def _rows(self) -> list[ModelVersion]:
        """Return our versions; one that a user registered under the same name is none of them."""
        if not self.database.exists():  # a question makes no store
            return []
        with self._store(f"list the versions of {self.name}") as client:
            rows = _all_pages(client.search_model_versions)
            return [row for row in rows if row.name == self.name and TAG_MODEL in row.tags]

    def _models(self, client: MlflowClient) -> list[str]:
        experiment = client.get_experiment_by_name(self.name)
        if experiment is None:
            return []
        store = _tracking_store(client)
        here = [experiment.experiment_id]
        # A model in MLflow's bin is in no search, yet all its bytes are there.
        binned = [
            store.get_logged_model(model_id, allow_deleted=True)
            for model_id in store._get_deleted_logged_models()
        ]
        return [
            model.model_id
            for model in [*_all_pages(client.search_logged_models, experiment_ids=here), *binned]
            if model.experiment_id in here and TAG_STATE in model.tags
        ]

    def _runs(self, client: MlflowClient) -> list[str]:
        experiment = client.get_experiment_by_name(self.name)
        if experiment is None:
            return []
        here = [experiment.experiment_id]
        runs = _all_pages(client.search_runs, experiment_ids=here, run_view_type=ViewType.ALL)
        return [run.info.run_id for run in runs if TAG_STATE in run.data.tags]

    def _deleted_versions(self) -> list[int]:
        with contextlib.closing(self._connect()) as connection:
            rows = connection.execute(
                "SELECT version FROM model_versions WHERE name = ? AND current_stage = ?",
                (self.name, STAGE_DELETED_INTERNAL),
            )
            return sorted(number for (number,) in rows)

    def _experiment(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(self.name)
        if found is not None:
            return str(found.experiment_id)
        return str(client.create_experiment(self.name, artifact_location=self.artifacts.as_uri()))

    def _folder(self, stored: StoredModel) -> Path:
        if stored.place == "mlflow-model":
            return self.artifacts / "models" / stored.locator
        return self.artifacts / stored.locator

    def _stored(self, place: Place, locator: str) -> StoredModel:
        folder = self._folder(StoredModel(place, locator, 0))
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        return StoredModel(place, locator, size)

    def _refuse_live(self, doomed: list[StoredModel]) -> None:
        champion = self.champion()
        rows = [_registered(row) for row in self._rows()]
        newest = max((row.version for row in rows), default=None)
        named = {(item.place, item.locator) for item in doomed}
        for row in rows:
            parts = {
                ("mlflow-registry", str(row.version)),
                ("mlflow-model", row.model_id),
                ("mlflow-run", row.run_id),
            }
            if row.version in (champion, newest) and parts & named:
                raise LiveModelError(
                    f"Version {row.version} of {self.name} is the champion or the newest version.",
                    remedy="register its successor and make that the champion first.",
                )

    def _destroy_version(self, number: int) -> None:
        # MLflow's delete_model_version leaves the tags and a row that names the model's folder.
        with contextlib.closing(self._connect()) as connection, connection:
            for table in _VERSION_TABLES:
                connection.execute(
                    f"DELETE FROM {table} WHERE name = ? AND version = ?",  # noqa: S608
                    (self.name, number),
                )

    def _version_rows(self, number: int) -> int:
        with contextlib.closing(self._connect()) as connection:
            return sum(
                connection.execute(
                    f"SELECT count(*) FROM {table} WHERE name = ? AND version = ?",  # noqa: S608
                    (self.name, number),
                ).fetchone()[0]
                for table in _VERSION_TABLES
            )

    def _sweep_folder(self, item: StoredModel) -> None:
        """Remove what MLflow leaves of the folder: the empty parents of the artifacts."""
        folder = self._folder(item)
        if item.place != "mlflow-registry" and folder.exists():
            shutil.rmtree(folder)

    def _rewrite_database(self) -> None:
        with contextlib.closing(self._connect()) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.database, timeout=_BUSY_SECONDS)


def _sqlite(path: Path) -> str:
    return URL.create("sqlite", database=str(path)).render_as_string()


def _tracking_store(client: MlflowClient) -> Any:
    """Return the SQL store behind a client: only it deletes for good, as `mlflow gc` does."""
    return client._tracking_client.store


def _destroy_model(client: MlflowClient, model_id: str) -> None:
    store = _tracking_store(client)
    if model := _found(store.get_logged_model, model_id, allow_deleted=True):
        get_artifact_repository(model.artifact_location).delete_artifacts()
        store._hard_delete_logged_model(model_id)


def _destroy_run(client: MlflowClient, run_id: str) -> None:
    store = _tracking_store(client)
    if run := _found(store.get_run, run_id):
        get_artifact_repository(run.info.artifact_uri).delete_artifacts()
        store._hard_delete_run(run_id)


def _found(look: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a look-up returns, None where MLflow says that there is no such thing."""
    try:
        return look(*args, **kwargs)
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return None
        raise


def _all_pages(search: Callable[..., Any], **kwargs: Any) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = search(**kwargs, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _registered(row: ModelVersion) -> Registered:
    return Registered(int(row.version), row.run_id, row.tags[TAG_MODEL])


def _write_model(
    folder: Path, served_dir: Path, card: ModelCard, run_id: str, model_id: str
) -> None:
    """Write the model straight into its folder under `mlruns`.

    MLflow's own way copies artifacts through the system's temporary folder, where a killed process
    would leave weights that an opt-out never finds.
    """
    shape = _SHAPES[card.task]
    model = Model(
        artifact_path=folder.as_uri(), run_id=run_id, model_id=model_id, model_uuid=model_id
    )
    mlflow.pyfunc.save_model(
        folder,
        python_model=_MODEL_CODE,
        mlflow_model=model,
        signature=ModelSignature(
            inputs=Schema([ColSpec(DataType.string, shape.column)]),
            outputs=Schema([ColSpec(kind, name) for name, kind in shape.outputs]),
            params=ParamSchema(list(shape.params)),
        ),
        input_example=(pd.DataFrame({shape.column: [shape.example]}), {"contributor": ""}),
        pip_requirements=_requirements(),
        # Any folder without a uv.lock: else MLflow takes one that lies in the current folder.
        uv_project_path=folder,
    )
    kept = folder / "artifacts"
    kept.mkdir()
    shutil.copytree(served_dir, kept / "served")
    card.write(kept / "card.json")
    flavor = model.flavors[mlflow.pyfunc.FLAVOR_NAME]
    flavor["artifacts"] = {
        name: {"path": f"artifacts/{path}", "uri": f"artifacts/{path}"}
        for name, path in (("served", "served"), ("card", "card.json"))
    }
    del flavor["cloudpickle_version"]  # nothing here is pickled
    model.model_size_bytes = sum(
        file.stat().st_size for file in folder.rglob("*") if file.is_file()
    )
    model.save(folder / "MLmodel")


def _requirements() -> list[str]:
    """Return what the model imports, at the versions it was made with.

    Build labels such as `+cpu` are left out: they name a build, and no index has them all.
    """
    pins = []
    for name in _REQUIREMENTS:
        try:
            pins.append(f"{name}=={Version(version(name)).public}")
        except PackageNotFoundError:  # our own package, run from a source tree
            pins.append(name)
    return pins


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow's progress notes off the terminal while the door works; warnings still show."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(logger.level, logging.WARNING))
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
