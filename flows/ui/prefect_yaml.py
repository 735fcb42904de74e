"""A workspace's `prefect.yaml`: what is deployed, in Prefect's own words, as types."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from flows.errors import UsageError
from flows.workspace.workspace import Workspace, template

NAME = "prefect.yaml"

Text = Annotated[str, Field(min_length=1, max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScheduleEntry(_Part):
    """When a deployment runs by itself."""

    cron: Text
    timezone: Text = "UTC"
    active: bool = True


class DeploymentEntry(_Part):
    """One deployment, in the words of Prefect."""

    name: Text
    entrypoint: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")]
    """A flow by its module path."""
    description: str | None = None
    tags: list[Text] = []
    schedules: list[ScheduleEntry] = []
    parameters: dict[str, Any] = {}
    concurrency_limit: Annotated[int, Field(ge=1)] | None = None


class _File(_Part):
    deployments: list[DeploymentEntry]


def prefect_file(workspace: Workspace) -> Path:
    """The workspace's `prefect.yaml`; one that was made before there was one has the package's."""
    own = workspace.root / NAME
    return own if own.is_file() else template(NAME)


def read_deployments(path: Path) -> list[DeploymentEntry]:
    """The deployments of a `prefect.yaml`. Raises UsageError naming the first wrong field."""
    try:
        return _File.model_validate(YAML(typ="safe").load(path)).deployments
    except (YAMLError, UnicodeDecodeError) as error:
        found = " ".join(str(error).split())
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        found = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    raise UsageError(
        f"{path} is not a list of deployments: {found}.",
        remedy=f"correct it; the original is {template(NAME)}, "
        "and docs/how-to/operating.md explains it.",
    )
