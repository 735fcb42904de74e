"""The root of the command line and the options that every command takes."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.logging import on_standard_error

app = typer.Typer(
    name="sift",
    help="Finetune one model on many contributors' data and honour every opt-out, bit for bit.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(version("sift-masks"))
        raise typer.Exit


@app.callback()
def root(
    log: Annotated[
        Literal["json"] | None,
        typer.Option(help="Also write the log to standard error; SIFT_LOG=json does the same."),
    ] = None,
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Finetune one model on many contributors' data and honour every opt-out, bit for bit."""
    if log is not None:
        on_standard_error()


WorkspaceOption = Annotated[
    Path,
    typer.Option(
        "--workspace",
        "-w",
        help="The workspace folder.",
        envvar="SIFT_WORKSPACE",
        show_default="here",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def group(help_text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )


def example(*lines: str) -> str:
    """The example that a command's help ends with."""
    return "Example: " + "  ·  ".join(lines)
