"""The staging area: where work lies between us and workers, in the DVC remote."""
