"""What stays of a finetuning: its vector and its mask, or the mask alone (`storage.keep`).

Where only masks are kept, a vector's file lives from the finetuning to the merge that takes it in,
in a folder that DVC does not track: it never enters the cache or the remote. What lineage recorded
of it stays, so that the finetuning can be run again and must give the same bits.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import sift_bytes
from flows.progress import tracked
from flows.training.environment import environment
from flows.training.finetune import Job, jobs
from flows.training.rederive import Rederiver
from flows.workspace.current_state import current_state
from flows.workspace.recorded_file import mask_file, vector_file
from flows.workspace.workspace import Workspace
from lineage import Member, TaskVectorRecord


def settle_vectors(workspace: Workspace) -> None:
    """Move vector files to where they belong: before the setting changed they lay elsewhere."""
    for folder in workspace.vector_folders:
        folder.mkdir(parents=True, exist_ok=True)
    for folder in workspace.vector_folders:
        if folder != workspace.vectors:
            for path in folder.glob("*.safetensors"):
                path.replace(workspace.vectors / path.name)


def lost(workspace: Workspace, among: Sequence[Job] | None = None) -> list[Job]:
    """The jobs that are recorded and whose files are not here, or are not the recorded bytes.

    Looks `among` these, or at all, and reads the files of each. Of a member of the current merge
    the vector is not missed where only masks are kept.
    """
    with workspace.lineage.reader() as reader:
        vectors = {vector.run_id: vector for vector in reader.task_vectors()}
    needless = _needless(workspace)
    return [
        job
        for job in (jobs(workspace) if among is None else among)
        if job.run_id in vectors
        and not _is_whole(workspace, vectors[job.run_id], with_vector=job.run_id not in needless)
    ]


def restore(workspace: Workspace, work: Sequence[Job]) -> None:
    """Make the files of recorded finetunings again by running those again.

    Raises RederivationError where the bits are not the recorded ones; files made before stay.
    """
    rederiver, needless = Rederiver(workspace), _needless(workspace)
    for job in tracked("Restoring", work, len(work)):
        vector = rederiver.vector(job.run_id)
        key, data = job.dataset.contributor_key, vector.to_bytes()
        mask_file = workspace.mask_file(key, vector.mask.sha256)
        sift_bytes.write_atomically(mask_file, vector.mask.to_bytes())
        if job.run_id not in needless:
            vector_file = workspace.vector_file(key, sift_bytes.sha256_of(data))
            sift_bytes.write_atomically(vector_file, data)


def apply_storage(workspace: Workspace) -> None:
    """Once the current state is verified, let the disk and lineage hold what `storage.keep` says.

    Where only masks are kept, all vectors are deleted: the state has taken them in, or let them go.
    A member's that was made in another environment is derived again first, since what cannot be
    derived again here is not deleted. Raises RederivationError; then nothing was.
    """
    state = current_state(workspace)
    with workspace.lineage.reader() as reader:
        members = reader.members(state.state_seq)
        runs = reader.member_runs(state.state_seq)
        dropped = {row.run_id for row in reader.task_vectors() if row.dropped_at}
    merged = {row.run_id: _vector_file(workspace, row) for row in members}
    if not workspace.keeps_masks_only:
        if back := sorted(dropped & merged.keys()):
            with workspace.lineage.writer() as recorder:
                recorder.mark_vectors_kept(back)
        return
    here = environment(workspace.settings).environment_id
    foreign = [r.run_id for r in runs if r.environment_id != here and merged[r.run_id].exists()]
    rederiver = Rederiver(workspace)
    for run_id in tracked("Deriving again", foreign, len(foreign)):
        rederiver.vector(run_id)
    for path in workspace.vectors.glob("*.safetensors"):
        path.unlink()
    if gone := sorted(merged.keys() - dropped):
        with workspace.lineage.writer() as recorder:
            recorder.mark_vectors_dropped(gone, datetime.now(UTC))


def drop_joined(workspace: Workspace, key: str) -> None:
    """Where only masks are kept, delete the vector of a contributor who was just merged anew.

    They withdrew some records and stay; the vectors of others wait for the next build.
    """
    if not workspace.keeps_masks_only:
        return
    state = current_state(workspace)
    with workspace.lineage.reader() as reader:
        members = reader.members(state.state_seq)
    own = [member for member in members if member.contributor_key == key]
    if own:
        _vector_file(workspace, own[0]).unlink(missing_ok=True)
        with workspace.lineage.writer() as recorder:
            recorder.mark_vectors_dropped([own[0].run_id], datetime.now(UTC))


def forget_vectors(workspace: Workspace) -> None:
    """Destroy what DVC still has of dropped vectors, from the time when vectors were kept.

    Called once the workspace is recorded without them. Raises DvcError.
    """
    if not workspace.keeps_masks_only:
        return
    with workspace.lineage.reader() as reader:
        dropped = [row.vector_md5 for row in reader.task_vectors() if row.dropped_at]
    live = workspace.dvc.objects.live()
    held = [stored for stored in workspace.dvc.objects.holders(dropped) if stored.md5 not in live]
    if held:
        workspace.dvc.objects.destroy(held)


def _needless(workspace: Workspace) -> set[str]:
    """The runs whose vectors nobody misses: members of the merge, where only masks are kept."""
    with workspace.lineage.reader() as reader:
        state = reader.current_state()
        if state is None or not workspace.keeps_masks_only:
            return set()
        return {member.run_id for member in reader.members(state.state_seq)}


def _vector_file(workspace: Workspace, member: Member) -> Path:
    return workspace.vector_file(member.contributor_key, member.vector_sha256)


def _is_whole(workspace: Workspace, vector: TaskVectorRecord, *, with_vector: bool) -> bool:
    files = [mask_file(workspace, vector)]
    if with_vector:
        files.append(vector_file(workspace, vector))
    return all(file.is_whole for file in files)
