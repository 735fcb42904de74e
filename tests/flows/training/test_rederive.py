"""A recorded finetuning comes back to the bit, or says what differs and leaves all as it was."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.training.environment import environment
from flows.training.rederive import RederivationError, Rederiver, different_environment
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from lineage import Member
from tests.support.damage import change_lineage, flip_a_byte
from tests.support.kept import elsewhere
from tests.support.trees import tree
from tests.support.workspaces import change


def some_member(workspace: Workspace) -> Member:
    with workspace.lineage.reader() as reader:
        return reader.members(current_state(workspace).state_seq)[0]


def refused(workspace: Workspace, member: Member) -> RederivationError:
    """The error of deriving a member's vector again; nothing in the workspace has changed."""
    before = tree(workspace.root)
    with pytest.raises(RederivationError) as caught:
        Rederiver(workspace).vector(member.run_id)
    assert tree(workspace.root) == before
    assert member.contributor_key in caught.value.facts
    return caught.value


def test_every_vector_comes_back_to_the_bit_and_nothing_is_written(built: Workspace) -> None:
    before = tree(built.root)
    rederiver = Rederiver(built)
    with built.lineage.reader() as reader:
        members = reader.members(current_state(built).state_seq)
    for member in members[:3]:
        vector = rederiver.vector(member.run_id)
        assert vector.to_bytes() == vector_bytes(built, member)
    assert tree(built.root) == before


def test_other_parameters_are_all_named_with_both_values(built: Workspace) -> None:
    member = some_member(built)
    workspace = change(change(built, "steps: 3", "steps: 4"), "max_length: 32", "max_length: 16")
    workspace = change(workspace, "too_long: window", "too_long: cut")
    error = refused(workspace, member)
    assert {difference.kind for difference in error.differences} >= {"parameters"}
    assert "finetune.steps was 3 and is 4" in error.facts
    assert "base.max_length was 32 and is 16" in error.facts
    assert "data.too_long was window and is cut" in error.facts
    assert "set finetune.steps back to 3; set base.max_length back to 32" in error.remedy


def data_file(workspace: Workspace, member: Member) -> Path:
    with workspace.lineage.reader() as reader:
        run = reader.run(member.run_id)
    return workspace.data_file(member.contributor_key, run.dataset_sha256)


def vector_bytes(workspace: Workspace, member: Member) -> bytes:
    return workspace.vector_file(member.contributor_key, member.vector_sha256).read_bytes()


def without_the_rows(workspace: Workspace, member: Member) -> None:
    data_file(workspace, member).unlink()


def with_other_rows(workspace: Workspace, member: Member) -> None:
    flip_a_byte(data_file(workspace, member))


@pytest.mark.parametrize("harm", [without_the_rows, with_other_rows])
def test_other_data_are_named(built: Workspace, harm: Callable[[Workspace, Member], None]) -> None:
    member = some_member(built)
    harm(built, member)
    error = refused(built, member)
    assert [difference.kind for difference in error.differences] == ["data"]
    assert str(data_file(built, member)) in error.facts
    assert "dvc checkout data" in error.remedy


def test_another_base_model_is_named(built: Workspace) -> None:
    member = some_member(built)
    flip_a_byte(built.base / "model.safetensors")
    error = refused(built, member)
    assert [difference.kind for difference in error.differences] == ["base"]
    assert "base/ was" in error.facts and "dvc checkout base" in error.remedy


def test_a_base_that_would_be_made_otherwise_is_named(built: Workspace) -> None:
    member = some_member(built)
    draws = "seed: {}                    # draws a fresh"
    error = refused(change(built, draws.format(0), draws.format(1)), member)
    assert [difference.kind for difference in error.differences] == ["base"]
    assert "other settings than params.yaml" in error.facts


def test_another_environment_that_gives_the_same_bits_is_no_obstacle(built: Workspace) -> None:
    member = some_member(built)
    elsewhere(built)
    vector = Rederiver(built).vector(member.run_id)
    assert vector.to_bytes() == vector_bytes(built, member)


def test_other_bits_are_laid_to_what_differs_in_the_environment(
    built: Workspace, other_arithmetic: None
) -> None:
    member = some_member(built)
    elsewhere(built)
    error = refused(built, member)
    assert [difference.kind for difference in error.differences] == ["environment"] * 2
    assert "platform was Linux riscv64 an abacus and is " in error.facts
    assert "torch was 1.0 and is " in error.facts
    assert "finetune.seed" in error.remedy


def test_other_bits_in_the_same_environment_are_said_to_be_just_that(
    built: Workspace, other_arithmetic: None
) -> None:
    error = refused(built, some_member(built))
    assert [difference.kind for difference in error.differences] == ["repetition"]
    assert "the arithmetic does not repeat" in error.facts


def test_an_altered_digest_in_lineage_is_found(built: Workspace) -> None:
    member = some_member(built)
    change_lineage(
        built,
        "UPDATE linear_digest SET value = xor(value, 1) "
        f"WHERE subject = '{member.vector_sha256}' AND lane = 1",
    )
    error = refused(built, member)
    assert [difference.kind for difference in error.differences] == ["lineage"]


def test_every_fact_of_an_environment_is_compared(built: Workspace) -> None:
    here = environment(built.settings)
    assert different_environment(here, here) == []
    facts = here.model_dump(exclude={"environment_id", "packages", "forgotten_at"})
    for name, value in facts.items():
        another = value + (1 if isinstance(value, int) else "?")
        (difference,) = different_environment(here.model_copy(update={name: another}), here)
        assert difference.fact == f"{name} was {another} and is {value}"
    fewer = here.model_copy(update={"packages": {**here.packages, "numpy": None}})
    (difference,) = different_environment(fewer, here)
    assert difference.fact.startswith("numpy was None and is ")
