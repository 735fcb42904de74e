"""The audit log: what was written, and whether it is whole."""
