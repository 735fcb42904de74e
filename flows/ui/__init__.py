"""The Prefect UI: deployments, forms, artifacts, approvals, run events."""
