"""The worker of a workspace: `python -m flows.operations.services.worker POOL NAME`, in its folder.

It runs the entries of the workspace's own `prefect.yaml`, as it is when a run starts, and in the
workspace's folder.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from flows.telemetry import hush

hush()

from flows.integrations.prefect.worker import work  # noqa: E402
from flows.ui.prefect_yaml import prefect_file, read_deployments  # noqa: E402
from flows.workspace.workspace import Workspace  # noqa: E402


def main() -> None:
    """Work for the pool, under the name, that the command line says."""
    pool, name = sys.argv[1:]
    place = Workspace.open(Path())

    def entrypoints() -> Mapping[str, str]:
        return {entry.name: entry.entrypoint for entry in read_deployments(prefect_file(place))}

    work(pool, name, entrypoints, place.root)


if __name__ == "__main__":
    main()
