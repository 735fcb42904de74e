"""A workspace: the folder, its paths and settings, its identities and keys."""
