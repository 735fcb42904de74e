"""Exactness, shown: everything that can be checked again about the current model."""

from collections.abc import Collection, Iterator, Sequence
from typing import Literal

import sift_bytes
import sift_core
from flows.models.checks import ExactnessError, Verification, checked
from flows.models.merge import rebuilt_sha256, stored_state
from flows.models.rebuild import require_no_alarm, vectors_at_once
from flows.models.weights import kind_of, stored_mask
from flows.progress import tracked
from flows.training.finetune import require_same_exactness
from flows.training.rederive import Rederiver
from flows.workspace.current_state import current_state
from flows.workspace.recorded_file import state_file
from flows.workspace.workspace import Workspace
from lineage import Member, MergeStateRecord
from sift_core import Grid, MergeState, TaskVector

Way = Literal["as set", "rebuild", "finetune again"]
"""How far to go: as `verify` in params.yaml says, or rebuild whatever it says, from the stored
vectors or from each member's finetuning, run again."""

_Source = Literal["stored vectors", "vectors finetuned again"]
"""What a merge is rebuilt from."""

_REBUILT: dict[_Source, str] = {
    "stored vectors": "merge rebuilt from vectors",
    "vectors finetuned again": "merge rebuilt by finetuning again",
}
_DERIVED = "merge derived, its digest computed again"


def verify_state(
    workspace: Workspace, way: Way = "as set", damaged: Collection[str] = ()
) -> Verification:
    """Check the current merge state against what it is the sum of; nothing is written.

    Rebuilt, S and C are added up from vectors alone and must be the same bytes. Where the members
    are too many for that at once, or vectors are not kept, the state is derived: it was made from
    verified files by exact integers, so that its bytes, its linear digest computed again, and the
    sum of the members' digests by the SQL that docs/reference/cookbook.md prints say the same.
    `damaged` are the keys of members whose files are known not to be sound: then it is not rebuilt.
    """
    with workspace.lineage.reader() as reader:  # those within share its opening
        state = current_state(workspace)
        require_same_exactness(workspace)
        members = reader.members(state.state_seq)
    source, why = _source(workspace, members, way, damaged)
    if source is None:
        merge = checked(_DERIVED, lambda: _derived(workspace, state, members, damaged, why))
    else:
        merge = checked(_REBUILT[source], lambda: _rebuilt(workspace, state, members, source))
    begun = Verification(
        state_seq=state.state_seq,
        state_sha256=state.state_sha256,
        members=len(members),
        level="derived" if source is None else "rebuilt",
        checks=[],
        passed=True,
    )
    return begun.and_also(
        checked("base model", lambda: _base(workspace, state)),
        merge,
        checked("linear digests in SQL", lambda: _digests(workspace, state)),
    )


def rebuilt_at_once(workspace: Workspace, members: Sequence[Member]) -> int:
    """Up to how many members a merge is rebuilt whenever it is made."""
    limit = workspace.settings.verify.rebuild_up_to
    if limit is not None or not members:
        return limit or 0
    with workspace.lineage.reader() as reader:
        entries = reader.task_vector(members[0].run_id).entries
    return vectors_at_once(entries)


def are_vectors_kept(workspace: Workspace, members: Sequence[Member]) -> bool:
    """Whether members' vectors are here: where only masks are kept, until they are dropped."""
    files = (workspace.vector_file(row.contributor_key, row.vector_sha256) for row in members)
    return not workspace.keeps_masks_only or all(path.is_file() for path in files)


def _source(
    workspace: Workspace,
    members: Sequence[Member],
    way: Way,
    damaged: Collection[str],
) -> tuple[_Source | None, str]:
    """What to rebuild from; None: nothing, and why."""
    if damaged:
        return None, "files of a member are damaged"
    if way == "finetune again":
        return "vectors finetuned again", ""
    if not are_vectors_kept(workspace, members):
        return None, "only masks are kept: `sift verify --rederive` rebuilds it"
    if way == "as set" and len(members) > (limit := rebuilt_at_once(workspace, members)):
        return None, (
            f"{len(members)} members are more than {limit} (verify.rebuild_up_to): `sift audit` "
            "does in its time, `sift verify --rebuild` at once"
        )
    return "stored vectors", ""


def require_same_base(workspace: Workspace, recorded: str) -> None:
    """Raise ExactnessError where `base/` is not the base model that the merge was made on."""
    found = sift_core.folder_sha256(workspace.base) if workspace.base.is_dir() else None
    if found != recorded:
        what = f"{found[:16]}…" if found else "missing"
        raise ExactnessError(
            f"base/ is {what}, the merge was made on {recorded[:16]}….",
            remedy="run `dvc checkout base`.",
        )


def _base(workspace: Workspace, state: MergeStateRecord) -> str:
    require_same_base(workspace, state.base_id)
    return f"SHA-256 {state.base_id[:16]}… as recorded"


def _require_whole(workspace: Workspace, state: MergeStateRecord) -> None:
    if not state_file(workspace, state).is_whole:
        raise ExactnessError(
            f"{workspace.state_file(state.state_sha256)} is not the state that lineage recorded.",
            remedy="restore it with `dvc checkout`, or run `sift build`.",
        )


def _rebuilt(
    workspace: Workspace, state: MergeStateRecord, members: Sequence[Member], source: _Source
) -> str:
    _require_whole(workspace, state)
    if source == "stored vectors":
        found = rebuilt_sha256(workspace, members)
    else:
        found = _finetuned_again_sha256(workspace, state, members)
    if found != state.state_sha256:
        raise ExactnessError(
            f"the sum of {len(members)} vectors is {found[:16]}…, lineage recorded "
            f"{state.state_sha256[:16]}….",
            remedy="run `sift build` to merge again from the vectors.",
        )
    return f"the sum of {len(members)} {source} is {found[:16]}…, bit for bit"


def _finetuned_again_sha256(
    workspace: Workspace, state: MergeStateRecord, members: Sequence[Member]
) -> str:
    """The SHA-256 of the merge of members' vectors, each by its finetuning again; in memory."""
    settings = workspace.settings.exactness
    path = workspace.state_file(state.state_sha256)
    vectors = _derive_again(workspace, members)
    rebuilt = MergeState.rebuild(
        vectors,
        sift_core.shapes_in(path, state.state_sha256),
        Grid(settings.grid_bits),
        settings.sign_seed,
    )
    return sift_bytes.sha256_of(rebuilt.to_bytes())


def _derive_again(workspace: Workspace, members: Sequence[Member]) -> Iterator[TaskVector]:
    rederiver = Rederiver(workspace)
    for member in tracked("Finetuning again", members, len(members)):
        yield rederiver.vector(member.run_id)


def _derived(
    workspace: Workspace,
    state: MergeStateRecord,
    members: Sequence[Member],
    damaged: Collection[str],
    why: str,
) -> str:
    """All that can be said of a merge without adding it up anew; masks are read of so many alone
    as would be rebuilt at once.
    """
    _require_whole(workspace, state)
    require_no_alarm(workspace, state)
    kind, seed = kind_of(workspace, state), workspace.settings.exactness.digest_seed
    stored = stored_state(workspace, state, len(members))
    lanes = sift_core.stored_digest(kind, stored, seed)
    with workspace.lineage.reader() as reader:
        recorded = [digest.value for digest in reader.linear_digest(state.state_sha256)]
        attested = reader.rebuild(state.state_seq)
    if attested is not None:
        why = f"an audit has: certificate number {attested.sequence} attests it"
    if list(lanes) != recorded:
        raise ExactnessError(
            f"the linear digest of the merge is {list(lanes)}, lineage recorded {recorded}.",
            remedy="restore the lineage store from a backup: a digest in it was altered.",
        )
    sound = [member for member in members if member.contributor_key not in damaged]
    masks = ""
    if len(members) <= rebuilt_at_once(workspace, members):
        for member in tracked("Reading masks", sound, len(sound)):
            sift_core.require_mask(stored_mask(workspace, member), kind)
        masks = f" and {len(sound)} masks"
    return (
        f"{state.state_sha256[:16]}…, its linear digest{masks} are as recorded; not rebuilt now, "
        f"{why}"
    )


def _digests(workspace: Workspace, state: MergeStateRecord) -> str:
    with workspace.lineage.reader() as reader:
        lanes = reader.digest_check(state.state_seq)
    unequal = [lane.lane for lane in lanes if not lane.equal]
    if unequal:
        raise ExactnessError(
            f"lanes {unequal} of the members' digests do not sum to the state's.",
            remedy="restore the lineage store from a backup: a digest in it was altered, and the "
            "query in docs/reference/cookbook.md finds which.",
        )
    return f"{len(lanes)} lanes: sum of members mod 2^64 equals the state's digest"
