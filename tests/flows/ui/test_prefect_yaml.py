"""`prefect.yaml` and the forms: every deployment is a flow, every field says what it is for."""

from pathlib import Path
from typing import Any

import pytest
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema
from pydantic import ValidationError

from flows.errors import UsageError
from flows.evidence.audit_checks import CHECKS
from flows.ui.audit_form import AuditForm
from flows.ui.forms import DeadlinesForm, OptOutForm, ProcessForm
from flows.ui.prefect_yaml import prefect_file, read_deployments
from flows.ui.tasks import loaded_flow
from flows.workspace.here import working_on
from flows.workspace.workspace import Workspace, template

ENTRIES = {entry.name: entry for entry in read_deployments(template("prefect.yaml"))}


def test_a_new_workspace_has_its_own_copy_and_an_older_one_that_of_the_package(
    fresh: Workspace,
) -> None:
    own = fresh.root / "prefect.yaml"
    assert prefect_file(fresh) == own and own.read_bytes() == template("prefect.yaml").read_bytes()
    own.unlink()
    assert prefect_file(fresh) == template("prefect.yaml")


def test_what_must_run_by_itself_has_a_schedule_and_what_a_person_starts_has_none() -> None:
    assert list(ENTRIES) == ["build", "opt-out", "process-requests", "audit", "deadlines"]
    scheduled = {name for name, entry in ENTRIES.items() if entry.schedules}
    assert scheduled == {"process-requests", "audit", "deadlines"}


@pytest.mark.parametrize("name", ENTRIES)
def test_every_deployment_is_a_flow_of_its_name_whose_form_explains_every_field(name: str) -> None:
    flow: Flow[..., Any] = loaded_flow(ENTRIES[name].entrypoint)
    assert flow.name == name and ENTRIES[name].description and "sift" in ENTRIES[name].tags
    schema = parameter_schema(flow)
    assert list(schema.properties) == ["form"] and not schema.required
    ((_, form),) = schema.definitions.items()
    assert form["description"]
    for field, about in form["properties"].items():
        assert about["description"], field
        assert "default" in about, f"{field}: an untouched form can be sent"


def test_a_jurisdiction_and_a_basis_that_the_policy_adds_can_be_chosen(fresh: Workspace) -> None:
    params = fresh.root / "params.yaml"
    text = params.read_text()
    text = text.replace("bases: [gdpr-art-17,", "bases: [lgpd-art-18, gdpr-art-17,")
    law = "  jurisdictions:             #"
    assert law in text
    text = text.replace("    gdpr: {answer", "    lgpd: {answer: 15 days}\n    gdpr: {answer")
    params.write_text(text)

    with working_on(Workspace.open(fresh.root)):
        form = OptOutForm.model_json_schema()["properties"]
        chosen = OptOutForm(basis="lgpd-art-18", law="lgpd")

    assert form["basis"]["default"] == form["basis"]["enum"][0] == "lgpd-art-18"
    assert form["law"]["enum"] == ["as the basis says", "lgpd", "gdpr", "ccpa"]
    assert (chosen.basis, chosen.law) == ("lgpd-art-18", "lgpd")
    with pytest.raises(ValidationError, match="is none of"):
        OptOutForm(law="lgpd")


def test_the_audit_s_form_offers_every_check_there_is() -> None:
    offered = AuditForm.model_json_schema()["properties"]["checks"]["items"]["enum"]
    assert offered == list(CHECKS) == AuditForm().checks
    with pytest.raises(ValidationError, match="is none of"):
        AuditForm(checks=["weather"])


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (OptOutForm, {"contributor_key": "tully"}),
        (OptOutForm, {"contributor_key": "A" * 32}),
        (OptOutForm, {"requests": ["tully"]}),
        (OptOutForm, {"basis": "because tully said so"}),
        (OptOutForm, {"records": ["tully wrote this"]}),
        (OptOutForm, {"contributor": "tully"}),
        (ProcessForm, {"at_most": 0}),
        (AuditForm, {"checks": []}),
        (DeadlinesForm, {"due_soon_days": 366}),
    ],
)
def test_a_form_takes_nothing_out_of_its_bounds(form: Any, said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        form.model_validate(said)


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        ("deployments: 3", "deployments"),
        ("deployments: [{name: build}]", "entrypoint"),
        ("deployments: [{name: b, entrypoint: '../x.py:f'}]", "entrypoint"),
        ("deployments: [{name: b, entrypoint: a.b, cron: x}]", "cron"),
        ("deployments: [{name: b, entrypoint: a.b, work_pool: {name: p}}]", "work_pool"),
        ("deployments: [", "not a list of deployments"),
    ],
)
def test_a_wrong_file_names_the_field(tmp_path: Path, content: str, phrase: str) -> None:
    path = tmp_path / "prefect.yaml"
    path.write_text(content)
    with pytest.raises(UsageError, match=phrase):
        read_deployments(path)
