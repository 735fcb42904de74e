"""OpenLineage: events of runs, datasets and models, by the official client."""
