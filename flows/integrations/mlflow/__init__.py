"""MLflow: registered model versions, in a store of ours or on a team's server."""
