"""MLflow's server behind our guard.

`python -m flows.integrations.mlflow.server --port 5001 --store sqlite:///…`

MLflow asks nobody for a key and takes the pages of every server on this machine for its own; and it
brings an assistant with a shell, jobs, a gateway and webhooks. Here it shows what is in its store,
and with `--writable` (a team's server) it takes what is recorded. Nothing else is answered.
"""

import argparse
import os
import re
import sys
from collections.abc import Collection, Sequence

from flows.integrations.servers import listening
from flows.integrations.servers.guard import Guard
from flows.telemetry import hush

KEY = "SIFT_SERVER_KEY"

_READING = frozenset(
    {
        "batchGetInfos",
        "calculate-filter-correlation",
        "get-latest-versions",
        "graphql",
        "metrics",
        "search",
        "search-datasets",
    }
)
"""The last words of paths that are asked by POST and change nothing."""
_CLOSED = re.compile(
    r"^/gateway(/|$)|^/(ajax-)?api/\d+\.\d+/(mlflow/)?(assistant|demo|gateway|genai|issues|jobs|"
    r"mcp-servers|prompt-optimization|scorers?|webhooks)(/|$)"
)
"""Paths behind which code is run, addresses are called, or either is arranged."""


def reading_only(method: str, path: str) -> str | None:
    """The rule of a server that shows: changes are made by `sift`, which also records them."""
    if why := nothing_that_runs(method, path):
        return why
    asks = method == "POST" and path.rsplit("/", 1)[-1] in _READING
    if asks or method in ("GET", "HEAD", "OPTIONS"):
        return None
    return "Here MLflow shows and changes nothing: `sift` does that."


def nothing_that_runs(_method: str, path: str) -> str | None:
    """The rule of a server that also takes what is recorded."""
    return "This part of MLflow is closed." if _CLOSED.search(path) else None


def parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    known = listening.parser("flows.integrations.mlflow.server", __doc__, 5001)
    known.add_argument("--store", required=True, help="address of the database")
    known.add_argument("--artifacts", required=True, help="address of the folder of artifacts")
    known.add_argument(
        "--writable", action="store_true", help="take what is recorded, and hand out artifacts"
    )
    return known


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it is told to end; the exit code."""
    said = listening.parsed(parser(), arguments)
    if not listening.has_key(KEY):
        return 2
    key, addresses = os.environ.pop(KEY), listening.addresses(said)
    hush()
    _configure(said.store, said.artifacts, addresses, writable=said.writable)
    from mlflow.server.fastapi_app import app

    rule = nothing_that_runs if said.writable else reading_only
    return listening.listen(Guard(app, addresses, key=key, rule=rule), said)


def _configure(store: str, artifacts: str, addresses: Collection[str], *, writable: bool) -> None:
    """What `mlflow server` tells its workers before they import the application."""
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join(addresses)
    os.environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(f"http://{a}" for a in addresses)
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    from mlflow.server import constants

    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = store
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = "mlflow-artifacts:/" if writable else artifacts
    if writable:
        os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"
        os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = artifacts


if __name__ == "__main__":
    sys.exit(main())
