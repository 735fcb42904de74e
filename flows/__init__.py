"""The work: Prefect flows, integrations of DVC, MLflow and git, and the `sift` command."""

from flows.telemetry import no_telemetry

no_telemetry()
