"""Serving: the card of a model version, and the model that MLflow loads and asks."""
