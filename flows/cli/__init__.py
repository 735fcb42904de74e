"""The `sift` command: what a person types, and what they read.

Exit codes: 0 ok, 1 a check failed, 2 wrong usage. An error is one line that names the remedy.
Heavy libraries are imported inside the commands that need them, so that `--help` is quick.
"""

import sys
import time
from logging import ERROR
from typing import Any

import typer.main
from typer import TyperException

from flows.telemetry import hush

hush()

from flows.cli import (  # noqa: E402
    approvals,  # noqa: F401  adds its commands to `sift opt-out`
    audit,
    backup,
    build,
    contributors,
    doctor,
    evaluate,
    keys,
    lineage,
    lineage_export,  # noqa: F401  its command joins the group `lineage`
    model,
    opt_out,
    serve,
    services,
    stages,
    verify,
    workers,
    workspace,
)
from flows.cli.app import app  # noqa: E402
from flows.cli.render import err  # noqa: E402
from flows.errors import FlowError, explained  # noqa: E402
from flows.logging import event, root_of_log  # noqa: E402
from flows.workspace.characters import plain  # noqa: E402
from lineage.errors import (  # noqa: E402
    LineageBusyError,
    LineageError,
    LineageFileError,
    LineageMissingError,
    LineageSchemaError,
)

__all__ = ["app", "main"]

_ABOUT_THE_STORE = (LineageBusyError, LineageFileError, LineageMissingError, LineageSchemaError)
_INTERRUPTED = 130
"""What typer returns after Ctrl-C."""

app.add_typer(contributors.app, name="contributors")
app.add_typer(opt_out.app, name="opt-out")
app.add_typer(lineage.app, name="lineage")
app.add_typer(model.app, name="model")
app.add_typer(stages.app, name="stage")
app.add_typer(keys.app, name="keys")
app.add_typer(backup.app, name="backup")
app.add_typer(backup.restoring)
app.add_typer(workspace.app, name="workspace")
app.add_typer(doctor.app)
app.add_typer(workers.app, name="workers")
app.add_typer(verify.app)
app.add_typer(build.app)
app.add_typer(evaluate.app)
app.add_typer(services.app)
app.add_typer(serve.app)
app.add_typer(audit.app)


def main() -> None:
    """Run the command line."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; its exit code. Unexpected errors go up: they are defects to be reported."""
    started = time.monotonic()
    code = _run(arguments)
    command, seconds = _command(arguments), round(time.monotonic() - started, 3)
    event("command ended", command=command, seconds=seconds, exit_code=code)
    return code


def _run(arguments: list[str]) -> int:
    try:
        code = app(args=arguments, prog_name="sift", standalone_mode=False)
    except TyperException as error:
        if not error.format_message():  # a group without a command: its help is printed already
            return error.exit_code
        return _failed(error.format_message(), _see_help(error), error.exit_code)
    except SystemExit as end:  # typer's, when a reader such as `head` has gone
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (FlowError, LineageError) as error:
        _log(error, error.facts, error.remedy, arguments)
        return _failed(error.facts, error.remedy, error.exit_code)
    except OSError as error:
        _log(error, *explained(error), arguments)
        return _failed(*explained(error), 1)
    except Exception as error:
        # sift_core brings torch with it: only a command that needed it can raise its errors.
        if "sift_core" in sys.modules and isinstance(error, sys.modules["sift_core"].SiftCoreError):
            _log(error, error.facts, error.remedy, arguments)
            return _failed(error.facts, error.remedy, 1)
        _log(error, "", "report this as a defect, with what standard error says.", arguments)
        raise
    if code == _INTERRUPTED:
        return _failed("Interrupted.", "run the same command again to go on.", 1)
    return code if isinstance(code, int) else 0


def _command(arguments: list[str]) -> str:
    """The command without its arguments, such as `opt-out run`."""
    tree: Any = typer.main.get_command(app)
    words: list[str] = []
    for word in arguments:
        if not words and word not in tree.commands:  # an option of `sift` itself
            continue
        tree = getattr(tree, "commands", {}).get(word)
        if tree is None:
            break
        words.append(word)
    return " ".join(words)


def _log(error: Exception, facts: str, remedy: str, arguments: list[str]) -> None:
    """Log an error with its remedy, without what a person could be known by."""
    from flows.workspace.log_redaction import redacted

    kind, command = type(error).__name__, _command(arguments)
    # An error about the store itself names nobody, and nobody could be asked for.
    root = None if isinstance(error, _ABOUT_THE_STORE) else root_of_log()
    typed = [word for word in arguments if word not in command.split()]
    found, mend = (redacted(text, typed, root) for text in (facts, remedy))
    event("error", level=ERROR, command=command, error=kind, found=found, remedy=mend)


def _failed(facts: str, remedy: str, code: int) -> int:
    """One line on standard error: what was found, then what to do."""
    sentences = (_sentence(facts), _sentence(remedy))
    err.print(plain(f"Error: {' '.join(sentences)}"), markup=False, style="red")
    return code


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    if text.partition(" ")[0].isalpha():  # a word, not a path or a command
        text = text[0].upper() + text[1:]
    return text + ("" if text.endswith((".", "!", "?")) else ".")


def _see_help(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"see `{context.command_path if context else 'sift'} --help`."
