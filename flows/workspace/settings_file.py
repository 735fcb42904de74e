"""`params.yaml` as a file: read and checked, or written with its comments."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from flows.errors import UsageError
from flows.workspace.settings import Settings


def load_settings(path: Path) -> Settings:
    """Read and check `params.yaml`. Raises UsageError naming every wrong field."""
    try:
        raw = YAML(typ="safe").load(path)
    except (YAMLError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is not YAML: {' '.join(str(error).split())}.",
            remedy="mend the line it names; `sift init --help` shows how to start afresh.",
        ) from error
    return _checked(
        raw, f"{path}: ", "correct this; the comments in params.yaml say what each one takes."
    )


def read_stores(path: Path) -> dict[str, Any]:
    """Read the section `stores` of a YAML file, to go into params.yaml. Raises UsageError."""
    try:
        raw = YAML(typ="safe").load(path)
    except (YAMLError, UnicodeDecodeError, OSError) as error:
        raise UsageError(
            f"{path} cannot be read as YAML: {' '.join(str(error).split())}.",
            remedy="mend it; docs/how-to/stores.md has an example.",
        ) from error
    stores = raw.get("stores") if isinstance(raw, dict) else None
    if not isinstance(stores, dict) or raw.keys() != {"stores"}:
        raise UsageError(
            f"{path} is not one section `stores` with fields.",
            remedy="write it as the example of docs/how-to/stores.md.",
        )
    return {str(name): value for name, value in stores.items()}


def write_settings(template: Path, target: Path, changes: dict[str, dict[str, Any]]) -> None:
    """Copy `template` to `target` with some values changed; its comments stay.

    Raises UsageError for a wrong value; then nothing is written.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    document = yaml.load(template)
    for section, values in changes.items():
        for field, value in values.items():
            document[section][field] = value
    _checked(document, "", "correct this; nothing was made.")
    with target.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)


def _checked(raw: Any, where: str, remedy: str) -> Settings:
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        wrong = "; ".join(map(_in_words, error.errors(include_input=False)))
        raise UsageError(f"{where}{wrong}.", remedy=remedy) from error


def _in_words(error: ErrorDetails) -> str:
    """Which setting is wrong, and why."""
    field = ".".join(str(part) for part in error["loc"]) or "the file"
    message = _PLAIN.get(error["type"], error["msg"]).removeprefix("Value error, ")
    return f"{field}: {message}"


_PLAIN = {
    "extra_forbidden": "there is no such setting",
    "missing": "this setting is missing",
    "model_type": "this must be fields with values",
    "model_attributes_type": "this must be fields with values",
}
"""What pydantic says, for people who do not know pydantic."""
