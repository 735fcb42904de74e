"""A contributor's own files as lineage recorded them: put back where they are missing or altered.

Every file is named by its content, so a copy is the file or it is not: DVC's cache and remote are
asked for it by its digest, whatever the record of today names. Nothing but the recorded bytes is
ever put back.
"""

import logging
from collections.abc import Collection, Iterator

from flows.errors import FlowError
from flows.integrations.dvc.objects import BOTH
from flows.logging import event
from flows.workspace.recorded_file import RecordedFile, dataset_file, mask_file, vector_file
from flows.workspace.workspace import Workspace
from lineage import DatasetVersionRecord, Member, TaskVectorRecord


class LostFileError(FlowError):
    """A file is not the recorded bytes, and no copy of it is left."""


def put_back(workspace: Workspace, file: RecordedFile) -> bool:
    """Make a file the recorded bytes again, from DVC's cache or remote; False where neither can."""
    if file.is_whole:
        return True
    with workspace.scratch("put-back") as folder:
        for place in BOTH:
            copy = RecordedFile(folder / place, file.sha256, file.md5)
            if workspace.dvc.objects.copy(file.md5, place, copy.path) and copy.is_whole:
                copy.path.replace(file.path)
                event(
                    "file.put_back", level=logging.WARNING, found=f"{file.path.name} from {place}"
                )
                return True
    return False


def require_dataset(workspace: Workspace, row: DatasetVersionRecord) -> None:
    """Raise LostFileError unless a dataset is there as recorded, or can be put back."""
    file = dataset_file(workspace, row)
    if put_back(workspace, file):
        return
    otherwise = (
        "reject this request, give rows of theirs again (`sift contributors add --replace FILE`), "
        "set another finetune.seed and run `sift build`, then file it again."
        if workspace.keeps_masks_only
        else "withdraw all of the contributor, which needs no rows: reject this request and file "
        "one without --records."
    )
    raise LostFileError(
        f"{file.path} is not the dataset that lineage recorded, and neither DVC's cache nor its "
        "remote has a copy.",
        remedy=f"put the file there from a backup; or {otherwise}",
    )


def is_whole(workspace: Workspace, row: TaskVectorRecord | Member) -> bool:
    """Whether a vector and its mask are there, the recorded bytes."""
    return vector_file(workspace, row).is_whole and mask_file(workspace, row).is_whole


def put_vector_back(workspace: Workspace, row: TaskVectorRecord | Member) -> bool:
    """Make a vector and its mask the recorded bytes again; False where one cannot be."""
    files = (vector_file(workspace, row), mask_file(workspace, row))
    back = [put_back(workspace, file) for file in files]  # each, also after one that cannot be
    return all(back)


def damaged_members(workspace: Workspace, state_seq: int) -> set[str]:
    """Members whose request is set aside and whose files are damaged: their keys.

    What they keep others from doing is to be done without them. Anybody else's damaged file is an
    error where it is read.
    """
    with workspace.lineage.reader() as reader:
        aside = reader.process.standing_set_asides()
        waiting = {reader.request(request_id).contributor_key for request_id in aside}
        if not waiting:
            return set()
        members = [m for m in reader.members(state_seq) if m.contributor_key in waiting]
        datasets = {row.contributor_key: row for row in reader.member_datasets(state_seq)}
    return {
        member.contributor_key
        for member in members
        if not all(
            file.is_whole for file in _files(workspace, member, datasets[member.contributor_key])
        )
    }


def take_away_damaged(workspace: Workspace, keys: Collection[str], state_seq: int) -> None:
    """Take what is no file of these contributors out of what DVC is about to record.

    Altered bytes would become a version that no lineage knows and no opt-out finds. They go where
    what cannot be trusted lies, and with the contributor's opt-out from there.
    """
    if not keys:
        return
    with workspace.lineage.reader() as reader:
        members = [m for m in reader.members(state_seq) if m.contributor_key in keys]
        datasets = {row.contributor_key: row for row in reader.member_datasets(state_seq)}
    for member in members:
        for file in _files(workspace, member, datasets[member.contributor_key]):
            if file.path.exists() and not file.is_whole:
                workspace.quarantine.mkdir(exist_ok=True)
                file.path.replace(workspace.quarantine / file.path.name)


def _files(
    workspace: Workspace, member: Member, dataset: DatasetVersionRecord
) -> Iterator[RecordedFile]:
    yield dataset_file(workspace, dataset)
    yield mask_file(workspace, member)
    if not workspace.keeps_masks_only:
        yield vector_file(workspace, member)
