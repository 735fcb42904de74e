"""What docs/how-to/stores.md says to write and to run is what there is."""

import re
import shlex
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from flows.integrations.mlflow import server as mlflow_server
from flows.integrations.prefect import server as prefect_server
from flows.workspace.settings import StoresSettings
from tests.support.pages import blocks
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from tests.support.servers import Postgres

DOCS = (ROOT / "docs/how-to/stores.md").read_text(encoding="utf-8")


def test_the_example_names_every_setting_and_is_valid() -> None:
    (example,) = blocks(DOCS, "yaml")
    stores = YAML(typ="safe").load(example)["stores"]
    assert StoresSettings.model_validate(stores)
    assert stores.keys() == StoresSettings.model_fields.keys()


def words(module: str) -> tuple[dict[str, str], list[str]]:
    """The variables of the line that starts a server, and its arguments."""
    (line,) = (block for block in blocks(DOCS, "bash") if f"python -m {module} " in block)
    before, _, after = line.replace("$(cat ", "$(cat-").partition(f"python -m {module} ")
    return dict(one.split("=", 1) for one in shlex.split(before)), shlex.split(after)


def test_a_team_s_mlflow_knows_the_options_of_its_line_and_has_a_key() -> None:
    variables, arguments = words(mlflow_server.__name__)
    said = mlflow_server.parser().parse_args(arguments)
    assert said.own and said.writable and variables.keys() == {mlflow_server.KEY}


def test_a_team_s_prefect_knows_the_variables_and_the_options_of_its_line() -> None:
    from prefect.settings import Settings

    variables, arguments = words(prefect_server.__name__)
    said = prefect_server.parser().parse_args(arguments)
    assert said.own and prefect_server.KEY in variables
    url = variables["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    assert url.startswith("postgresql+asyncpg://")
    assert "connection_url" in type(Settings().server.database).model_fields
    assert "api_url" in type(Settings().server.ui).model_fields


def test_the_extras_of_its_installation_are_ours() -> None:
    import tomllib

    (line,) = (block for block in blocks(DOCS, "bash") if block.startswith("pip install"))
    found = re.search(r"\.\[(.*)\]", line)
    assert found is not None
    extras = found[1].split(",")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras) <= project["optional-dependencies"].keys()
    # Tests need what the extras bring.
    for extra in extras:
        packages = set(project["optional-dependencies"][extra])
        assert packages <= set(project["optional-dependencies"]["dev"])


@pytest.mark.slow
def test_an_auditor_reads_everything_and_writes_nothing(postgres_server: "Postgres") -> None:
    from lineage import ContributorRecord, LineageWriteError, SharedLineageStore
    from tests.support.population import at, key, populate
    from tests.support.servers import PASSWORD

    before, after = blocks(DOCS, "sql")
    url = postgres_server.create("films")
    # The server's only other user of these tests is called sift already, and is its owner.
    made = before.replace("CREATE ROLE sift LOGIN;\n", "").replace(
        "LOGIN", f"LOGIN PASSWORD '{PASSWORD}'"
    )
    postgres_server.run(*filter(str.strip, made.split(";")), database="films")
    store = SharedLineageStore(url)
    store.migrate()
    populate(store)
    postgres_server.run(*filter(str.strip, after.split(";")), database="films")
    auditor = SharedLineageStore(url.replace("sift@", "auditor@"))
    (python,) = blocks(DOCS, "python")
    found = re.search(r'reader\.sql\("(.*)"\)', python)
    assert found is not None
    with auditor.reader() as reader:
        assert len(reader.sql(found[1]).rows) == 6
        assert [one for found in reader.audit_findings().values() for one in found] == []
    with pytest.raises(LineageWriteError, match="permission denied"), auditor.writer() as recorder:
        recorder.add(
            ContributorRecord(contributor_key=key("eve"), external_id="eve", added_at=at(30))
        )
