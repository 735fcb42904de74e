"""The reference pages of the docs, written from what they describe.

`tests/docs/` holds each page to these; `pytest --update-goldens` writes them anew. Tables and
views of lineage are written by `schema_pages`.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer.main
from pydantic import BaseModel

from flows.cli import app
from flows.evidence.report import Report
from flows.workspace.settings import Settings
from lineage.certificates.statement import Statement
from tests.support.pages import table

Schema = dict[str, Any]


def commands_page() -> str:
    """Every command: what it does, its arguments and options, an example; from typer."""
    parts = [_command(name, each) for name, each in walk(typer.main.get_command(app), ("sift",))]
    return "\n\n".join(parts)


def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Every command and group with its full name; of a group, its own commands first."""
    yield " ".join(path), command
    children = getattr(command, "commands", {})
    for name, child in sorted(children.items(), key=lambda each: hasattr(each[1], "commands")):
        yield from walk(child, (*path, name))


def _command(name: str, command: Any) -> str:
    if hasattr(command, "commands"):
        return f"## `{name}`\n\n{_paragraphs(command.help)}"
    context = typer.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [f"### `{name}`", _paragraphs(command.help), f"```text\n{name} {usage}\n```"]
    if rows := [_parameter(each, context) for each in command.params]:
        parts.append(table(("", "what"), rows))
    _, _, examples = command.epilog.partition(": ")
    parts.append(
        "```console\n" + "\n".join(f"$ {each}" for each in examples.split("  ·  ")) + "\n```"
    )
    return "\n\n".join(parts)


def _parameter(parameter: Any, context: Any) -> tuple[str, str]:
    """What its help shows, or only its name where that is hidden from help."""
    shown, _ = parameter.get_help_record(context) or (parameter.opts[0], "")
    variable = getattr(parameter, "envvar", None)
    otherwise = f" Else what `{variable}` says." if variable else ""
    return f"`{shown}`", parameter.help + otherwise + (" Required." if parameter.required else "")


def settings_page() -> str:
    """Each section of `params.yaml`, field by field, from the pydantic models."""
    schema = Settings.model_json_schema()
    parts = []
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        assert isinstance(kind, type) and issubclass(kind, BaseModel)
        parts.append(f"## `{name}`\n\n{_paragraphs(kind.__doc__)}\n\n{_fields(kind, schema)}")
        parts += [
            f"### `{name}.{own}`\n\n{_paragraphs(inner.__doc__)}\n\n{_fields(inner, schema)}"
            for own, inner in _sections(kind)
        ]
    return "\n\n".join(parts)


def _sections(kind: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in kind.model_fields.items():
        for each in _named_in(field.annotation):
            yield name, each


def report_page() -> str:
    """`report.json`, class by class, from its schema."""
    return _document(Report)


def certificate_page() -> str:
    """The statement that a certificate signs, class by class, from its schema."""
    return _document(Statement)


def _document(top: type[BaseModel]) -> str:
    schema = top.model_json_schema()
    return "\n\n".join(
        f"## {kind.__name__}\n\n{_paragraphs(kind.__doc__)}\n\n{_fields(kind, schema)}"
        for kind in _classes(top)
    )


def _classes(top: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and all that its fields are made of, each once, in the order of reading."""
    found = [top]
    for kind in found:
        for field in kind.model_fields.values():
            found += [each for each in _named_in(field.annotation) if each not in found]
    return found


def _named_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner = getattr(annotation, "__args__", ())
    return [kind for each in inner for kind in _named_in(each)]


def _fields(kind: type[BaseModel], schema: Schema) -> str:
    own = schema if schema.get("title") in _titles(kind) else schema["$defs"][kind.__name__]
    rows = []
    for name, field in kind.model_fields.items():
        outside = field.serialization_alias or field.alias or name
        what = own["properties"][outside]
        default = (
            "" if "default" not in what or "$ref" in what else f"`{json.dumps(what['default'])}`"
        )
        rows.append((f"`{outside}`", _type(what, kind), default, _meanings(kind)[name]))
    if not any(default for _, _, default, _ in rows):
        return table(("field", "type", "meaning"), [(a, b, d) for a, b, _, d in rows])
    return table(("field", "type", "default", "meaning"), rows)


def _titles(kind: type[BaseModel]) -> set[str | None]:
    return {kind.__name__, kind.model_config.get("title")}


def _type(what: Schema, kind: type[BaseModel]) -> str:
    """What a JSON Schema allows, in few words."""
    if "$ref" in what:
        name = what["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if kind.__module__ != Settings.__module__ else "section"
    if "anyOf" in what:
        return " or ".join(_type(each, kind) for each in what["anyOf"])
    if "const" in what:
        return f"`{json.dumps(what['const'])}`"
    if "enum" in what:
        return ", ".join(f"`{json.dumps(each)}`" for each in what["enum"])
    if what.get("type") == "array":
        inner = what.get("items") or {}
        return f"list of {_type(inner, kind)}" if inner else "list"
    if what.get("type") == "object":
        inner = what.get("additionalProperties")
        return f"text to {_type(inner, kind)}" if isinstance(inner, dict) else "object"
    return _word(what) + _bounds(what)


def _word(what: Schema) -> str:
    words = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false"}
    if what.get("format") in ("date-time", "date"):
        return {"date-time": "time (UTC)", "date": "date"}[what["format"]]
    return words.get(what.get("type", ""), what.get("type", "any"))


def _bounds(what: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {_number(what[key])}" for key, sign in signs.items() if key in what]
    if "pattern" in what:
        bounds.append(f"`{what['pattern']}`")
    return " " + ", ".join(bounds) if bounds else ""


def _number(value: float) -> str:
    exponent = int(value + 1).bit_length() - 1
    if exponent > 30:
        return f"2^{exponent}" + (" − 1" if int(value) == 2**exponent - 1 else "")
    return f"{value:,g}"


@cache
def _meanings(kind: type[BaseModel]) -> dict[str, str]:
    """The docstring under each field of a class and of its parents. Raises KeyError without one."""
    found: dict[str, str] = {}
    for each in reversed([own for own in kind.__mro__ if own.__module__.startswith(_OURS)]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        assert isinstance(definition, ast.ClassDef)
        for field, below in zip(definition.body, definition.body[1:], strict=False):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[name] = " ".join(text.split())
    return found


_OURS = ("flows.", "lineage.")


def _paragraphs(text: str | None) -> str:
    """A docstring as Markdown: one line a paragraph."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(" ".join(each.split()) for each in paragraphs)
