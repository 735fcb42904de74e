"""Entries of the audit log noted outside the lineage store, so that its end cannot be cut off.

Every commit that the platform makes names the last entry in a trailer of its message, and so does
every certificate, which is signed. Git's hashes chain the commits, certificates are a chain of
their own, and whoever has a copy of one can hold the log against it.
"""

import re

from flows.evidence.certificates import audit_anchors
from flows.models.record import TRAILER
from flows.workspace.workspace import Workspace
from lineage import Anchor

_VALUE = re.compile(r"([1-9][0-9]*) ([0-9a-f]{64})")


def anchors(workspace: Workspace) -> list[Anchor]:
    """Every entry that a certificate or a commit of the current history names.

    Raises EvidenceError where a certificate is not as signed.
    """
    found = audit_anchors(workspace)
    for commit, value in workspace.git.trailers(TRAILER):
        if match := _VALUE.fullmatch(value):
            found.append(Anchor(seq=int(match[1]), sha256=match[2], source=f"commit {commit[:12]}"))
    return found
