"""The two operations that are measured: what `sift_core` does in an opt-out and in a rebuild.

The same calls as `flows` makes, without lineage, DVC and MLflow around them.
"""

from collections.abc import Iterable
from pathlib import Path

from benchmarks.cost.stage import DIGEST_SEED, Stage
from sift_core import (
    StoredState,
    StoredWeights,
    UpdatedState,
    model_folder,
    read_state,
    serve,
    update_state,
    weights_file,
)

Lanes = tuple[int, ...]


def opt_out(
    stage: Stage, leaving: int, members: int, expected: Lanes, target: Path
) -> UpdatedState:
    """Take one of `members` out: new state and served weights in `target`.

    `expected` is the digest that S − τ must have, by lineage (`expected_digest`).
    """
    new = update_state(
        stage.kind, stage.state(members), [], [stage.stored(leaving)], DIGEST_SEED, target
    )
    if new.digest != expected:
        raise AssertionError("The digest of S − τ is not the difference of the digests.")
    state = StoredState(new.path, new.sha256, new.members)
    base = StoredWeights(stage.base)
    with (
        model_folder(target, base, stage.kind) as anyone,
        weights_file(target / "members.safetensors", base, stage.kind) as members_own,
    ):
        serve(stage.kind, state, base, {"all": anyone, "counted": members_own})
    return new


def rebuild(stage: Stage, members: Iterable[int], target: Path) -> UpdatedState:
    """The state of some members from their stored vectors alone, in `target`."""
    vectors = [stage.stored(member) for member in members]
    return update_state(stage.kind, None, vectors, [], DIGEST_SEED, target)


def expected_digest(stage: Stage, leaving: int, members: int) -> Lanes:
    """The digest of a state less that of a vector: both are recorded when they are made."""
    before = read_state(stage.state(members)).linear_digest(DIGEST_SEED)
    own = stage.read(leaving).linear_digest(DIGEST_SEED)
    return tuple((was - less) % 2**64 for was, less in zip(before, own, strict=True))
