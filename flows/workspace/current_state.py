"""The record of the merge state that is current."""

from flows.errors import FlowError
from flows.workspace.workspace import Workspace
from lineage import MergeStateRecord


def current_state(workspace: Workspace) -> MergeStateRecord:
    """The record of the current merge state. Raises FlowError where nothing was built."""
    current = current_state_or_none(workspace)
    if current is None:
        raise FlowError("Nothing has been built yet.", remedy="run `sift build`.")
    return current


def current_state_or_none(workspace: Workspace) -> MergeStateRecord | None:
    """The record of the current merge state, None where nothing was built."""
    with workspace.lineage.reader() as reader:
        return reader.current_state()
