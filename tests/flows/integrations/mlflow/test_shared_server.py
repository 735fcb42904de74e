"""The same registry on a server: rows in PostgreSQL, files in a bucket, none in the workspace."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from flows.integrations.mlflow.registry import LiveModelError, Mlflow, ModelStoreError, Registered
from flows.integrations.mlflow.rows import NoDatabaseError
from flows.integrations.mlflow.shared_server import SharedServer
from tests.flows.integrations.mlflow.test_registry import TEXTS
from tests.support.served import MEMBERS, METRICS, Served, pointed_at
from tests.support.servers import S3, Postgres, mlflow_server

pytestmark = pytest.mark.slow

BUCKET, DATABASE, US = "mlflow-files", "mlflow_rows", "ours"


@pytest.fixture(scope="module")
def server(postgres_server: Postgres, s3_server: S3) -> Iterator[str]:
    postgres_server.create(DATABASE)
    artifacts = s3_server.create(BUCKET)
    with mlflow_server(postgres_server.url(DATABASE, "postgresql+psycopg"), artifacts) as url:
        yield url


@pytest.fixture
def models(server: str, served: Served, tmp_path: Path, postgres_server: Postgres) -> Mlflow:
    name = tmp_path.name.replace("_", "-")[:60]
    return Mlflow(SharedServer(served.root, name, server, postgres_server.url(DATABASE), US))


def register(models: Mlflow, served: Served, state_seq: int = 1) -> Registered:
    card = served.card.model_copy(update={"state_seq": state_seq})
    return models.registration.register(served.weights, card, METRICS, {})


def objects(s3_server: S3, registered: Registered) -> list[str]:
    ids = (registered.model_id, registered.run_id)
    return [key for key in s3_server.contents(BUCKET) if any(one in key for one in ids)]


def test_what_is_registered_is_served_from_the_server_alone(
    models: Mlflow, served: Served, s3_server: S3
) -> None:
    version = register(models, served)
    assert register(models, served) == version
    models.registration.set_champion(version.version)
    assert (models.reading.versions(), models.reading.champion()) == ([1], 1)
    assert not (served.root / "mlflow.db").exists() and not (served.root / "mlruns").exists()
    assert objects(s3_server, version)
    fetched = models.reading.served_folder(1)
    assert {path.name: path.read_bytes() for path in fetched.iterdir()} == {
        path.name: path.read_bytes() for path in served.folder.iterdir()
    }
    with pointed_at(models):
        model = mlflow.pyfunc.load_model(f"models:/{models.name}@champion")
        texts = pd.DataFrame({"text": TEXTS})
        plain = model.predict(texts)
        assert not model.predict(texts, params={"contributor": MEMBERS[0]}).equals(plain)


def test_a_destroyed_version_leaves_no_row_and_no_object(
    models: Mlflow, served: Served, s3_server: S3, tmp_path: Path
) -> None:
    first = register(models, served, 1)
    certificate = tmp_path / "certificate.json"
    certificate.write_text("{}")
    models.registration.attach(first.version, [certificate], "opt-outs/opt-out-0001")
    models.reading.served_folder(first.version)
    second = register(models, served, 2)
    models.registration.set_champion(second.version)
    held = models.destruction.holders([first.version])
    assert [row.place for row in held] == ["mlflow-registry", "mlflow-model", "mlflow-run"]
    assert held[1].bytes > served.folder.joinpath("model.safetensors").stat().st_size
    assert models.backend.still_there(held) == held
    models.destruction.destroy(held)
    assert models.backend.still_there(held) == []
    assert objects(s3_server, first) == []
    assert not (served.root / ".sift" / "tmp" / "fetched" / held[1].locator).exists()
    assert models.reading.versions() == [second.version]
    assert models.destruction.leftovers() == []
    models.destruction.destroy(held)  # again
    with pytest.raises(LiveModelError):
        models.destruction.destroy(models.destruction.holders([second.version]))


def test_without_the_database_files_go_and_nothing_is_called_absent(
    models: Mlflow, served: Served, s3_server: S3
) -> None:
    bare = Mlflow(SharedServer(served.root, models.name, models.tracking_uri, None, US))
    first = register(bare, served, 1)
    bare.registration.set_champion(register(bare, served, 2).version)
    held = bare.destruction.holders([first.version])
    bare.destruction.destroy(held)
    assert objects(s3_server, first) == []
    with pytest.raises(NoDatabaseError, match="its bin") as refused:
        bare.backend.still_there(held[:1])
    assert "stores.mlflow_database" in refused.value.remedy
    # With the database the same command ends.
    assert models.backend.still_there(held) == held
    models.destruction.destroy(held)
    assert models.backend.still_there(held) == []


def test_another_database_is_not_taken_for_the_servers(
    models: Mlflow, served: Served, postgres_server: Postgres
) -> None:
    postgres_server.create("elsewhere")
    database = postgres_server.url("elsewhere")
    wrong = Mlflow(SharedServer(served.root, models.name, models.tracking_uri, database, US))
    with pytest.raises(ModelStoreError, match="is not the database behind"):
        register(wrong, served)
    assert postgres_server.run(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database="elsewhere"
    ) == [(0,)]


def test_a_server_that_is_gone_is_an_error_of_ours(served: Served) -> None:
    models = Mlflow(SharedServer(served.root, "films", "http://127.0.0.1:9", None, US))
    with pytest.raises(ModelStoreError, match="Max retries exceeded") as refused:
        register(models, served)
    assert "MLFLOW_TRACKING_TOKEN" in refused.value.remedy


def test_another_workspaces_models_of_the_same_name_are_not_touched(
    models: Mlflow, served: Served
) -> None:
    register(models, served)
    theirs = Mlflow(SharedServer(served.root, models.name, models.tracking_uri, None, "theirs"))
    for use in (
        theirs.destruction.leftovers,
        lambda: register(theirs, served),
        theirs.reading.champion,
    ):
        with pytest.raises(ModelStoreError, match="another workspace's"):
            use()
    assert models.reading.versions() == [1]
