"""The `sift` command: what a person types, and what they read.

Exit codes: 0 ok, 1 a check failed, 2 wrong usage. An error is one line that names the remedy.
Heavy libraries are imported inside the commands that need them, so that `--help` is quick.
"""

import errno
import sys

from typer import TyperException

from flows.quiet import hush

hush()

from flows.cli import (  # noqa: E402
    agents,
    auditing,
    contributors,
    decisions,  # noqa: F401  adds its commands to `sift opt-out`
    exports,  # noqa: F401  its command joins the group `lineage`
    keys,
    lineage_queries,
    model,
    opt_outs,
    stages,
    verifying,
    work,
)
from flows.cli.app import app  # noqa: E402
from flows.cli.render import err, plain  # noqa: E402
from flows.errors import FlowError  # noqa: E402
from lineage import LineageError  # noqa: E402

__all__ = ["app", "main"]

_INTERRUPTED = 130
"""What typer returns after Ctrl-C."""

app.add_typer(contributors.app, name="contributors")
app.add_typer(opt_outs.app, name="opt-out")
app.add_typer(lineage_queries.app, name="lineage")
app.add_typer(model.app, name="model")
app.add_typer(stages.app, name="stage")
app.add_typer(keys.app, name="keys")
app.add_typer(agents.app, name="agents")
app.add_typer(verifying.app)
app.add_typer(work.app)
app.add_typer(auditing.app)


def main() -> None:
    """Run the command line."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; its exit code. Unexpected errors go up: they are defects to be reported."""
    try:
        code = app(args=arguments, prog_name="sift", standalone_mode=False)
    except TyperException as error:
        if not error.format_message():  # a group without a command: its help is printed already
            return error.exit_code
        return _failed(error.format_message(), _see_help(error), error.exit_code)
    except SystemExit as end:  # typer's, when a reader such as `head` has gone
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (FlowError, LineageError) as error:
        return _failed(error.facts, error.remedy, error.exit_code)
    except OSError as error:
        return _failed(*_explain(error), 1)
    except Exception as error:
        # sift_core brings torch with it: only a command that needed it can raise its errors.
        if "sift_core" in sys.modules and isinstance(error, sys.modules["sift_core"].SiftCoreError):
            return _failed(error.facts, error.remedy, 1)
        raise
    if code == _INTERRUPTED:
        return _failed("Interrupted.", "run the same command again to go on.", 1)
    return code if isinstance(code, int) else 0


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


def _explain(error: OSError) -> tuple[str, str]:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"The disk is full{where}.", "free some space and run the same command again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{error.strerror}{where}.",
            "make the workspace writable for you, then run the same command again.",
        )
    return f"{error.strerror or error}{where}.", "correct this, then run the same command again."
