"""Notes outside the workspace that somebody left, which no restored backup can undo."""
