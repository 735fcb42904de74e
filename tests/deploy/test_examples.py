"""What docs/how-to/workers.md and deploy/ tell people to write is valid; their commands exist."""

import asyncio
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import typer.main
from ruamel.yaml import YAML

from flows.cli import app as sift
from tests.support.pages import blocks
from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy"
DOCS = (ROOT / "docs/how-to/workers.md").read_text(encoding="utf-8")
KUBERNETES = "1.34"


def yaml(path: Path) -> list[Any]:
    return list(YAML(typ="safe").load_all(path))


def compose() -> dict[str, Any]:
    (document,) = yaml(DEPLOY / "compose.yaml")
    return dict(document)


def lines() -> Iterator[list[str]]:
    """Every command that the page, the files' heads and the services name."""
    heads = "".join(path.read_text() for path in DEPLOY.rglob("*") if path.is_file())
    found = "".join(blocks(DOCS, "bash")).splitlines()
    found += re.findall(r"^#   (.+)$", heads, flags=re.M)
    found += re.findall(r"`((?:prefect|sift) [a-z-]+ [a-z][^`]*)`", DOCS)
    for service in compose()["services"].values():
        command = service.get("command", "")
        text = command if isinstance(command, str) else shlex.join(command)
        found += text.removeprefix('sh -c "').removesuffix('"').split(" && ")
    for line in found:
        words = [word for word in shlex.split(line) if not re.match(r"^[A-Z][A-Z0-9_]*=", word)]
        if words[:1] == ["docker"] and "run" in words:
            words = words[words.index("orchestrator") + 1 :] or words
        if words:
            yield words


COMMANDS = {" ".join(words): words for words in lines()}


def of(program: str) -> list[str]:
    return [line for line, words in COMMANDS.items() if words[0] == program]


@pytest.mark.parametrize("line", of("sift"))
def test_every_sift_command_would_parse(line: str) -> None:
    command: Any = typer.main.get_command(sift)
    words = COMMANDS[line][1:]
    while hasattr(command, "commands") and words:
        command = command.commands[words.pop(0)]
    command.make_context(line, words)


@pytest.mark.parametrize("line", of("prefect"))
def test_every_prefect_command_would_parse(line: str) -> None:
    from prefect.cli._app import _app

    _app.parse_args(COMMANDS[line][1:], print_error=False, exit_on_error=False)


def test_no_other_program_is_named() -> None:
    known = {"sift", "prefect", "python", "kubectl", "docker", "export", "minio", "server", "sh"}
    assert {words[0] for words in COMMANDS.values()} <= known
    assert len(of("sift")) >= 5 and len(of("prefect")) >= 4 and len(of("python")) >= 2


def test_the_compose_file_is_one_by_the_specification() -> None:
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
    # The specification names no `retries: 20` wrong and `x-…` right; `name` came after this schema.
    document = {key: value for key, value in compose().items() if key != "name"}
    jsonschema.Draft7Validator(schema).validate(document)


def test_the_compose_file_refers_to_nothing_that_is_not_there() -> None:
    document = compose()
    services, volumes = document["services"], document["volumes"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in volumes, name
    secrets = re.findall(r"PASSWORD|SECRET|ACCESS_KEY", (DEPLOY / "compose.yaml").read_text())
    assert secrets
    text = (DEPLOY / "compose.yaml").read_text()
    for name, value in re.findall(r"^\s+(\w*(?:PASSWORD|KEY\w*|_USER)): (.+)$", text, flags=re.M):
        assert value.startswith("${") or name == "POSTGRES_USER", "no secret stands in the file"


def test_workers_and_servers_listen_on_loopback_of_the_host_alone() -> None:
    ports = [port for s in compose()["services"].values() for port in s.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("number", range(len(yaml(DEPLOY / "kubernetes" / "workers.yaml"))))
def test_every_kubernetes_object_is_valid(number: int) -> None:
    document = yaml(DEPLOY / "kubernetes" / "workers.yaml")[number]
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def template() -> dict[str, Any]:
    path = DEPLOY / "kubernetes" / "base-job-template.json"
    return dict(json.loads(path.read_text()))


def test_nothing_of_a_job_comes_from_a_request() -> None:
    parts = template()
    # Prefect refuses what is not named; a request's `env` is merged into one that is there.
    assert parts["variables"] == {
        "type": "object",
        "properties": {},
        "additionalProperties": False,
    }
    assert "{{" not in json.dumps(parts) and "env" not in parts["job_configuration"]


@pytest.mark.parametrize(
    "asked",
    [
        {"command": "touch PWNED"},
        {"env": {"PATH": "/evil"}},
        {"env.PATH": "/evil"},
        {"image": "evil"},
        {"namespace": "kube-system"},
        {"job_manifest": {"spec": {}}},
    ],
)
def test_prefect_makes_the_same_job_whatever_is_asked(asked: dict[str, Any]) -> None:
    from prefect.workers.base import BaseJobConfiguration

    class Job(BaseJobConfiguration):
        job_manifest: dict[str, Any]
        namespace: str

    def made(values: dict[str, Any]) -> Job:
        async def make() -> Job:
            return await Job.from_template_and_values(template(), values, client=object())

        return asyncio.run(make())

    assert made(asked) == made({})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(asked, template()["variables"])


def test_the_job_runs_our_flow_whatever_its_deployment_says() -> None:
    from flows.training.workers.process import ENTRYPOINT

    (container,) = template()["job_configuration"]["job_manifest"]["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["args"] == ["python", "-m", "prefect.engine"]
    assert container["env"] == [{"name": "PREFECT__FLOW_ENTRYPOINT", "value": ENTRYPOINT}]


def test_the_job_of_the_base_job_template_is_valid() -> None:
    job = template()["job_configuration"]["job_manifest"]
    kubernetes_validate.validate(job, KUBERNETES, strict=True)


def servers() -> Iterator[list[str]]:
    """The words of every command that starts a server of ours, in deploy/ and in the docs."""
    for line in COMMANDS:
        if "flows.integrations." in line:
            yield COMMANDS[line]


@pytest.mark.parametrize("words", servers(), ids=lambda words: words[2])
def test_every_server_that_a_team_starts_says_where_it_answers(words: list[str]) -> None:
    import importlib

    assert words[:2] == ["python", "-m"]
    parser = importlib.import_module(words[2]).parser()
    said = parser.parse_args(words[3:])
    assert said.host == "127.0.0.1" or said.own


def test_every_server_of_the_compose_file_has_a_key_that_is_no_part_of_it() -> None:
    services = compose()["services"]
    assert (
        services["prefect"]["environment"]["PREFECT_SERVER_API_AUTH_STRING"] == "${PREFECT_KEY:?}"
    )
    assert services["mlflow"]["environment"]["SIFT_SERVER_KEY"] == "${MLFLOW_KEY:?}"
    for name in ("worker", "pool", "orchestrator"):
        assert services[name]["environment"]["PREFECT_API_AUTH_STRING"] == "${PREFECT_KEY:?}"
    passwords = [str(service.get("command")) for service in services.values()]
    assert not any("PASSWORD" in line or "KEY" in line for line in passwords), "seen by `ps`"
    for name, service in services.items():
        if "image" in service and service["image"] == "sift":
            commands = str(service["command"])
            assert "prefect server" not in commands and "prefect worker" not in commands, name


def test_the_image_holds_the_packages_that_the_wheel_is_made_of() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    for package in ("sift_bytes", "sift_core", "lineage", "flows"):
        assert f"COPY {package} {package}" in dockerfile
    for name in re.findall(r"COPY ((?:[\w.]+ )+)\./", dockerfile)[0].split():
        assert (ROOT / name).is_file()


def test_every_reason_for_quarantine_is_explained() -> None:
    from flows.training.workers.errors import QuarantinedError

    named = set(re.findall(r"^\| `(\w+Error)` \|", DOCS, flags=re.M))
    assert named == {kind.__name__ for kind in QuarantinedError.__subclasses__()}


def test_every_setting_of_build_is_shown() -> None:
    from flows.workspace.settings import BuildSettings

    shown = set(re.findall(r"^  (\w+): ", DOCS, flags=re.M))
    assert shown == set(BuildSettings.model_fields)
