"""Prefect's server behind our guard: `python -m flows.integrations.prefect.server --port 4200`.

It asks for the key in PREFECT_SERVER_API_AUTH_STRING by itself, on every route but health; its
pages keep the key that a person types once. See docs/how-to/operating.md and
docs/how-to/workers.md.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Collection, Sequence

from flows.integrations.servers import listening
from flows.integrations.servers.guard import Guard
from flows.telemetry import hush

KEY = "PREFECT_SERVER_API_AUTH_STRING"
"""Prefect's own setting; what is before a colon is a name, for those who want one."""
_LET_GO_SECONDS = 5.0


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    known = listening.parser("flows.integrations.prefect.server", __doc__, 4200)
    known.add_argument(
        "--while-parent", action="store_true", help="end when standard input is closed"
    )
    return known


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it is told to end; the exit code."""
    said = parser().parse_args(arguments)
    if said.while_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    if not listening.has_key(KEY):
        return 2
    hush()
    addresses = listening.addresses(said)
    _configure(addresses)
    from prefect.server.api.server import create_app

    return listening.listen(
        Guard(create_app(final=True), addresses),
        said,
        lifespan="on",
        log_level="error" if said.while_parent else "info",
        timeout_graceful_shutdown=round(_LET_GO_SECONDS) if said.while_parent else None,
    )


def _configure(addresses: Collection[str]) -> None:
    """Prefect's own checks as well, before it is imported; a page needs a token beside the key."""
    os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(f"http://{a}" for a in addresses)
    os.environ["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] = "true"


def _end_with_parent() -> None:
    """End this process when the pipe from whoever started it is closed, however that one ended."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(2 * _LET_GO_SECONDS)
    os._exit(1)  # it hangs, and nobody is there any more to kill it


if __name__ == "__main__":
    sys.exit(main())
