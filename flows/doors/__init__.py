"""The doors: DVC, git and MLflow, each behind one small class."""
