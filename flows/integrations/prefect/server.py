"""Prefect's server behind our guard: `python -m flows.integrations.prefect.server --port 4200`.

It asks for the key in PREFECT_SERVER_API_AUTH_STRING by itself, on every route but health; its
pages keep the key that a person types once. See docs/how-to/operating.md and
docs/how-to/workers.md.
"""

import argparse
import os
import sys
from collections.abc import Collection, Sequence

from flows.integrations.servers import listening
from flows.integrations.servers.guard import Guard
from flows.telemetry import hush

KEY = "PREFECT_SERVER_API_AUTH_STRING"
"""Prefect's own setting; what is before a colon is a name, for those who want one."""


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    return listening.parser("flows.integrations.prefect.server", __doc__, 4200)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it is told to end; the exit code."""
    said = listening.parsed(parser(), arguments)
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
        log_level="info",
    )


def _configure(addresses: Collection[str]) -> None:
    """Prefect's own checks as well, before it is imported; a page needs a token beside the key."""
    os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(f"http://{a}" for a in addresses)
    os.environ["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] = "true"


if __name__ == "__main__":
    sys.exit(main())
