"""Operating a workspace: services on this machine, deployments, and what a run page shows."""
