"""OpenLineage's own definitions, as a check.

The client's classes are generated from the official JSON Schemas, with their required fields,
enumerations and formats. We hold ourselves to them more strictly than the specification does: a
field that it does not name is refused. The schemas themselves are in no package: with
`OPENLINEAGE_SPEC` naming the folder `spec` of a clone of OpenLineage, events are held to them too.
"""

import json
import os
from enum import Enum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attr
from jsonschema import Draft202012Validator, FormatChecker
from openlineage.client import facet_v2
from openlineage.client.event_v2 import RunEvent
from openlineage.client.generated import base
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.support.paths import SCHEMAS

FACETS = {
    "datasetType": facet_v2.dataset_type_dataset.DatasetTypeDatasetFacet,
    "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet,
    "lifecycleStateChange": (
        facet_v2.lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet
    ),
    "jobType": facet_v2.job_type_job.JobTypeJobFacet,
    "parent": facet_v2.parent_run.ParentRunFacet,
    "processing_engine": facet_v2.processing_engine_run.ProcessingEngineRunFacet,
    "tags": facet_v2.tags_run.TagsRunFacet,
    "errorMessage": facet_v2.error_message_run.ErrorMessageRunFacet,
}
OURS = {"sift_artifact": "openlineage-artifact-1", "sift_requests": "openlineage-requests-1"}


def require_official(event: dict[str, Any]) -> RunEvent:
    """The event as the official class. Raises where it is not one."""
    structured = _structured(RunEvent, event)
    assert isinstance(structured, RunEvent)
    assert structured.eventType is not None
    return structured


def official_schemas() -> Path | None:
    """The folder of the official JSON Schemas, if this machine has them."""
    folder = os.environ.get("OPENLINEAGE_SPEC")
    return Path(folder) if folder else None


def require_by_the_book(event: dict[str, Any], spec: Path) -> int:
    """Hold an event and each official facet to its JSON Schema. Returns how many were held."""

    def retrieve(uri: str) -> Resource[Any]:
        # A clone has one version of each schema, the newest; references name older ones.
        (found,) = spec.rglob(uri.rsplit("/", 1)[-1])
        return Resource(json.loads(found.read_bytes()), DRAFT202012)

    registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]
    checks = [(event["schemaURL"], event), *_official_facets(event)]
    for url, value in checks:
        Draft202012Validator(
            {"$ref": url}, registry=registry, format_checker=FormatChecker()
        ).validate(value)
    return len(checks)


def _official_facets(event: dict[str, Any]) -> list[tuple[str, Any]]:
    owners = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
    return [
        (facet["_schemaURL"], facet)
        for owner in owners
        for name, facet in owner.get("facets", {}).items()
        if name not in OURS
    ]


def _structured(kind: Any, value: Any) -> Any:
    options = [one for one in get_args(kind) if one is not type(None)]
    if get_origin(kind) in (Union, UnionType):
        return None if value is None else _structured(options[0], value)
    if get_origin(kind) is list:
        assert isinstance(value, list)
        return [_structured(options[0], one) for one in value]
    if get_origin(kind) is dict:
        assert isinstance(value, dict)
        return {name: _facet(name, one) for name, one in value.items()}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if attr.has(kind):
        return _object(kind, value)
    assert isinstance(value, kind), (kind, value)
    return value


def _object(kind: Any, value: dict[str, Any]) -> Any:
    fields = {field.name: field for field in attr.fields(kind)}
    assert value.keys() <= fields.keys(), value.keys() - fields.keys()
    for url in ("schemaURL", "_schemaURL"):
        if url in fields:
            assert value[url] == kind._get_schema()
    hints = get_type_hints(kind, {**vars(base), **_classes()})
    given = {
        name.lstrip("_"): _structured(hints[name], own)
        for name, own in value.items()
        if fields[name].init
    }
    return kind(**given)


def _facet(name: str, value: dict[str, Any]) -> Any:
    if name in OURS:
        _validator(OURS[name]).validate(value)
        return value
    return _object(FACETS[name], value)


@cache
def _validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_bytes())
    Draft202012Validator.check_schema(schema)
    assert schema["$id"].endswith(name)
    return Draft202012Validator(schema, format_checker=FormatChecker())


def _classes() -> dict[str, Any]:
    """Every class that the facets name, for their type hints."""
    modules = [vars(facet_v2)[name] for name in dir(facet_v2)]
    return {
        name: value
        for module in modules
        for name, value in getattr(module, "__dict__", {}).items()
        if isinstance(value, type) and name not in vars(base)
    }
