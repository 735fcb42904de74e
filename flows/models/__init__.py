"""Merge states and model versions: merged, scored, verified, registered."""
