"""Letting go of what has been superseded: the workspace keeps what is in use, DVC keeps history.

Replacing rows is no opt-out: the older dataset, vector and mask stay in DVC's cache and remote, so
an earlier commit can be checked out again. Lineage goes on knowing them, and an opt-out destroys
them there too.
"""

from pathlib import Path

from flows.workspace.workspace import Workspace


def sweep_superseded(workspace: Workspace) -> None:
    """Remove datasets, vectors and masks that are neither current nor in the current merge.

    Called once everything finetuned is merged. Files of whoever has an open opt-out stay where
    they are: the opt-out destroys them itself and shows that they are gone.
    """
    with workspace.lineage.reader() as reader:
        leaving = {
            row.contributor_key for row in reader.requests() if reader.next_step(row.request_id)
        }
    needed = needed_files(workspace)
    for folder in (workspace.data, workspace.vectors, workspace.masks):
        for path in folder.iterdir():
            if path not in needed and path.name.partition("-")[0] not in leaving:
                path.unlink()


def needed_files(workspace: Workspace) -> set[Path]:
    """The current datasets; datasets, vectors and masks of the current merge."""
    with workspace.lineage.reader() as reader:
        state = reader.current_state()
        members = reader.members(state.state_seq) if state else []
        merged = reader.member_datasets(state.state_seq) if state else []
        datasets = [*reader.current_datasets(), *merged]
    needed = {workspace.data_file(row.contributor_key, row.sha256) for row in datasets}
    for member in members:
        key = member.contributor_key
        needed.add(workspace.vector_file(key, member.vector_sha256))
        needed.add(workspace.mask_file(key, member.mask_sha256))
    return needed
