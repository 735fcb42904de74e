"""Prefect: its servers and workers as we start them, and what its database remembers."""
