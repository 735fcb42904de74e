"""A lineage store in PostgreSQL."""
