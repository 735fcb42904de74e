"""Contributors' rows: read, checked, and stored as content-addressed dataset versions."""
