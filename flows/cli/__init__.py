"""The `sift` command: what a person types, and what they read.

Exit codes: 0 ok, 1 a check failed, 2 wrong usage. An error is one line that names the remedy.
Heavy libraries are imported inside the commands that need them, so that `--help` is quick.
"""

import errno
import sys

from flows.quiet import hush

hush()

from flows.cli import contributors, lineage_queries, model, opt_outs, stages, work  # noqa: E402
from flows.cli.app import app  # noqa: E402
from flows.cli.render import err  # noqa: E402
from flows.errors import FlowError  # noqa: E402
from lineage import LineageError  # noqa: E402

__all__ = ["app", "main"]

app.add_typer(contributors.app, name="contributors")
app.add_typer(opt_outs.app, name="opt-out")
app.add_typer(lineage_queries.app, name="lineage")
app.add_typer(model.app, name="model")
app.add_typer(stages.app, name="stage")
app.add_typer(work.app)


def main() -> None:
    """Run the command line."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; its exit code. Unexpected errors go up: they are defects to be reported."""
    try:
        app(args=arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (FlowError, LineageError) as error:
        return _failed(f"{error.facts} {error.remedy}", error.exit_code)
    except OSError as error:
        return _failed(_explain(error), 1)
    except KeyboardInterrupt:
        return _failed("Interrupted. Run the same command again to go on.", 1)
    except Exception as error:
        # sift_core brings torch with it: only a command that needed it can raise its errors.
        if "sift_core" in sys.modules and isinstance(error, sys.modules["sift_core"].SiftCoreError):
            return _failed(f"{error.facts} {error.remedy}", 1)
        raise
    return 0


def _failed(text: str, code: int) -> int:
    err.print(f"Error: {' '.join(text.split())}", markup=False, style="red")
    return code


def _explain(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"The disk is full{where}. Free some space and run the same command again."
    return f"{error.strerror or error}{where}. Mend that and run the same command again."
