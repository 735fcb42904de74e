"""Workspaces that earlier releases wrote, kept as archives: what they hold must stay readable."""
