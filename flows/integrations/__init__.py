"""Adapters to other systems: DVC, MLflow, git, OpenLineage, Prefect's servers, object staging."""
