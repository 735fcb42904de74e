"""`sift verify` finds each kind of damage, and each for its own reason."""

from collections.abc import Callable

import pytest

from flows.evidence.verification import verify
from flows.models.checks import ExactnessError
from flows.models.verify import rebuilt_at_once
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from tests.support.damage import change_lineage, failed, flip_a_byte, member, vector_file
from tests.support.workspaces import CONTRIBUTORS, change

BASE, MERGE, DERIVED, DIGESTS, CHAMPION, CERTIFICATES = (
    "base model",
    "merge rebuilt from vectors",
    "merge derived, its digest computed again",
    "linear digests in SQL",
    "champion",
    "certificates",
)


def test_a_built_workspace_passes_every_check(built: Workspace) -> None:
    verification = verify(built)

    assert verification.passed
    names = [check.name for check in verification.checks]
    assert names == [BASE, MERGE, DIGESTS, CHAMPION, CERTIFICATES]
    assert verification.members == len(CONTRIBUTORS)


def an_altered_vector(workspace: Workspace) -> None:
    flip_a_byte(vector_file(workspace))


def an_altered_mask(workspace: Workspace) -> None:
    flip_a_byte(
        workspace.mask_file(member(workspace).contributor_key, member(workspace).mask_sha256)
    )


def a_lost_vector(workspace: Workspace) -> None:
    vector_file(workspace).unlink()


def a_member_struck_out(workspace: Workspace) -> None:
    key = member(workspace).contributor_key
    change_lineage(workspace, f"DELETE FROM membership WHERE contributor_key = '{key}'")


def an_altered_digest(workspace: Workspace) -> None:
    sha256 = member(workspace).vector_sha256
    change_lineage(
        workspace,
        f"UPDATE linear_digest SET value = xor(value, 1) WHERE subject = '{sha256}' AND lane = 1",
    )


def an_altered_base(workspace: Workspace) -> None:
    flip_a_byte(workspace.base / "model.safetensors")


def altered_champion_weights(workspace: Workspace) -> None:
    flip_a_byte(workspace.mlflow.reading.served_folder(1) / "model.safetensors")


def another_champion_in_lineage(workspace: Workspace) -> None:
    change_lineage(workspace, "UPDATE model_version SET champion_to = champion_from")


@pytest.mark.parametrize(
    ("damage", "checks", "reason"),
    [
        (an_altered_vector, {MERGE}, "lineage recorded"),
        (an_altered_mask, {MERGE}, "lineage recorded"),
        (a_lost_vector, {MERGE}, "is missing or empty"),
        (a_member_struck_out, {MERGE, DIGESTS, CHAMPION}, "the sum of 11 vectors"),
        (an_altered_digest, {DIGESTS}, "lanes [1]"),
        (an_altered_base, {BASE, CHAMPION}, "the merge was made on"),
        (altered_champion_weights, {CHAMPION}, "the registered weights are"),
        (another_champion_in_lineage, {CHAMPION}, "lineage says None"),
    ],
)
def test_each_damage_fails_its_own_check(
    built: Workspace, damage: Callable[[Workspace], None], checks: set[str], reason: str
) -> None:
    damage(built)

    verification = verify(built)

    assert not verification.passed
    assert failed(verification).keys() == checks
    first = next(check for check in verification.checks if not check.passed)
    assert reason in first.found
    with pytest.raises(ExactnessError, match=f"Check '{first.name}' failed"):
        verification.require()


def of_few(workspace: Workspace) -> Workspace:
    """The same, where a merge of so many is not rebuilt."""
    return change(workspace, "rebuild_up_to:", "rebuild_up_to: 11")


def test_a_merge_of_many_is_derived_and_rebuilt_when_asked(built: Workspace) -> None:
    few = of_few(built)

    derived, rebuilt = verify(few), verify(few, "rebuild")

    assert (derived.passed, derived.level) == (True, "derived")
    assert (rebuilt.passed, rebuilt.level) == (True, "rebuilt")
    assert "12 members are more than 11" in derived.checks[1].found
    assert [check.name for check in derived.checks] == [
        BASE,
        DERIVED,
        DIGESTS,
        CHAMPION,
        CERTIFICATES,
    ]


@pytest.mark.parametrize("damage", [a_lost_vector, an_altered_vector, an_altered_mask])
def test_what_is_derived_does_not_read_the_files_of_members(
    built: Workspace, damage: Callable[[Workspace], None]
) -> None:
    few = of_few(built)
    damage(few)

    assert verify(few).passed
    assert not verify(few, "rebuild").passed


def test_a_derived_merge_must_have_the_recorded_bytes_and_digest(built: Workspace) -> None:
    few = of_few(built)
    sha256 = current_state(few).state_sha256
    change_lineage(
        few, f"UPDATE linear_digest SET value = xor(value, 1) WHERE subject = '{sha256}'"
    )
    assert failed(verify(few)).keys() == {DERIVED, DIGESTS}

    flip_a_byte(few.state_file(sha256))
    assert str(few.merge) in failed(verify(few))[DERIVED]


def test_as_many_are_rebuilt_at_once_as_take_seconds(built: Workspace) -> None:
    with built.lineage.reader() as reader:
        members = reader.members(current_state(built).state_seq)
    assert rebuilt_at_once(built, members) == 100

    change_lineage(built, f"UPDATE task_vector SET entries = {10**8 + 1}")
    assert rebuilt_at_once(built, members) == 9
    assert verify(built).level == "derived"

    change_lineage(built, f"UPDATE task_vector SET entries = {10**9 + 1}")
    assert rebuilt_at_once(built, members) == 0


def test_an_altered_merge_state_is_found(built: Workspace) -> None:
    flip_a_byte(built.state_file(current_state(built).state_sha256))

    found = failed(verify(built))

    assert found.keys() == {MERGE, CHAMPION}
    assert str(built.merge) in found[MERGE]
