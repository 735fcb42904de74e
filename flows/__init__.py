"""The work: Prefect flows and tasks, the doors to DVC, MLflow and git, and the `sift` command."""

from flows.telemetry import no_telemetry

no_telemetry()
