"""DVC: large files by content, with their history, and the way to destroy one for good."""
