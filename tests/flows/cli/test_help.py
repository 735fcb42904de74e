"""No command or option without help, an example, and a place in docs/how-to/daily-work.md."""

import re
import shlex

import pytest
import typer.main

from flows.cli import app
from tests.support.paths import ROOT
from tests.support.references import walk
from tests.support.sift import Sift

DOCS = (ROOT / "docs/how-to/daily-work.md").read_text(encoding="utf-8")


TREE = dict(walk(typer.main.get_command(app), ("sift",)))
COMMANDS = {name: each for name, each in TREE.items() if not hasattr(each, "commands")}


def section(name: str) -> str:
    """The part of the docs under the heading of a command."""
    found = re.search(rf"^### `{name}( [^`]*)?`\n(.*?)(?=^##|\Z)", DOCS, flags=re.M | re.S)
    assert found, f"docs/how-to/daily-work.md has no heading ### `{name} …`"
    return found[2]


@pytest.mark.parametrize("name", TREE)
def test_every_command_and_group_says_what_it_does(name: str) -> None:
    assert TREE[name].help and TREE[name].help.strip().endswith(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_and_option_has_help(name: str) -> None:
    for parameter in COMMANDS[name].params:
        assert parameter.help, f"{name}: {parameter.name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_its_help_with_examples_that_would_parse(name: str) -> None:
    intro, _, examples = COMMANDS[name].epilog.partition(": ")
    assert intro == "Example"
    for line in examples.split("  ·  "):
        assert line.startswith(name)
        arguments = shlex.split(line)[len(name.split()) :]
        COMMANDS[name].make_context(name, arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_docs_with_an_example(name: str) -> None:
    """Its options are in the reference, which is made from them."""
    assert re.search(rf"^(\$ )?{name}", section(name), flags=re.M)


def test_the_docs_name_no_command_or_option_that_is_not_there() -> None:
    headings = re.findall(r"^### `(sift[a-z -]*?)(?: [\[A-Z][^`]*)?`$", DOCS, flags=re.M)
    assert sorted(headings) == sorted(COMMANDS)
    known = {
        option
        for each in TREE.values()
        for p in each.params
        for option in (*p.opts, *p.secondary_opts)
    }
    mentioned = set(re.findall(r"`(--[a-z-]+)", DOCS))
    assert mentioned <= known | {"--help"}


@pytest.mark.parametrize("name", TREE)
def test_help_is_printed_and_is_no_error(name: str, sift: Sift) -> None:
    ended = sift(*name.split()[1:], "--help")
    assert (ended.code, ended.err) == (0, "") and "Usage: sift" in ended.out
    assert name not in COMMANDS or "Example:" in ended.out


@pytest.mark.parametrize("name", [name for name in TREE if name not in COMMANDS])
def test_a_group_alone_prints_its_help(name: str, sift: Sift) -> None:
    ended = sift(*name.split()[1:])
    assert (ended.code, ended.err) == (2, "") and "Commands" in ended.out
