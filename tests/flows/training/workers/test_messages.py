"""What is said to workers and what they say is published, and stays readable."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter

from flows.training.workers.messages import MANIFEST, Assignment, BaseFile, Failed
from flows.workspace.settings_file import load_settings
from flows.workspace.workspace import template
from tests.support.manifests import BASE, KEY, MACHINE, RUN, TASK, Given
from tests.support.paths import SCHEMAS

GOLDENS = Path(__file__).parent / "goldens"
PUBLISHED: dict[str, TypeAdapter[Any]] = {
    "worker-assignment-1": TypeAdapter(Assignment),
    "worker-manifest-1": MANIFEST,
}


def examples() -> dict[str, Any]:
    """One of each form, without anything that changes from day to day."""
    assignment = Assignment(
        base_id=BASE,
        base_files=(BaseFile(name="model.safetensors", bytes=10),),
        method=load_settings(template("params.yaml")).method,
        tasks=(TASK,),
        machines=(MACHINE.machine_id,),
    )
    failed = Failed(contributor_key=KEY, run_id=RUN, error="NonFiniteError")
    return {
        "worker-assignment-1": json.loads(assignment.model_dump_json()),
        "worker-manifest-1": Given.honest().manifest,
        "worker-manifest-1-failed": json.loads(failed.model_dump_json()),
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_schemas_are_what_the_code_reads(name: str, update_goldens: bool) -> None:
    schema = PUBLISHED[name].json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    path = SCHEMAS / f"{name}.schema.json"
    if update_goldens:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", examples())
def test_what_was_said_in_the_first_release_is_still_understood(
    name: str, update_goldens: bool
) -> None:
    path = GOLDENS / f"{name}.json"
    if update_goldens:
        path.write_text(json.dumps(examples()[name], indent=2) + "\n", encoding="utf-8")
    stored = json.loads(path.read_text(encoding="utf-8"))

    form = name.removesuffix("-failed")
    jsonschema.validate(stored, PUBLISHED[form].json_schema())
    read = PUBLISHED[form].validate_json(path.read_bytes())
    assert json.loads(read.model_dump_json()) == stored
