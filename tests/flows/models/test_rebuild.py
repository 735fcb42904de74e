"""A rebuild in sittings comes to the bytes of the merge, however it is cut, and whoever comes."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from flows.audit import look
from flows.evidence.inventory import Stock
from flows.models import rebuild as sittings
from flows.models.rebuild import members_rebuilt, rebuild
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from tests.support.damage import flip_a_byte
from tests.support.workspaces import (
    CONTRIBUTORS,
    add,
    build_plainly,
    files,
    opt_out_plainly,
    request,
    reviews,
)

ALL = len(CONTRIBUTORS)


@pytest.fixture(autouse=True)
def _a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sittings, "_VECTORS_AT_ONCE", 5)


def steps(count: int) -> Callable[[], bool]:
    """Time for so many steps."""
    answers: Iterator[bool] = chain(repeat(True, count - 1), repeat(False))
    return lambda: next(answers)


@pytest.mark.parametrize("sittings_of", [[1, 1, 1], [9]])
def test_any_number_of_sittings_comes_to_the_same_bytes(
    built: Workspace, sittings_of: list[int]
) -> None:
    done = []
    for count in sittings_of:
        found = rebuild(built, steps(count))
        done.append(found.done)

    assert done == sorted(done) and done[-1] == ALL
    assert found.is_the_state
    assert found.rebuilt_sha256 == current_state(built).state_sha256
    assert len(list(built.rebuild.glob("*.safetensors"))) == 1


@pytest.mark.slow
def test_who_joined_meanwhile_is_added(built: Workspace) -> None:
    assert rebuild(built, steps(1)).done == 5
    add(built, reviews("newcomer", edition=3))
    build_plainly(built.root)

    found = rebuild(built, steps(9))

    assert (found.done, found.is_the_state) == (ALL + 1, True)


def test_where_somebody_has_left_it_begins_anew_without_them(built: Workspace) -> None:
    rebuild(built, steps(9))
    leaver = CONTRIBUTORS[4]
    assert built.key_of(leaver) in (members_rebuilt(built) or {})
    request(built, leaver)
    opt_out_plainly(built.root)

    assert not any(built.rebuild.glob("*.safetensors"))  # it would give τ away
    found = rebuild(built, steps(9))
    assert (found.done, found.is_the_state) == (ALL - 1, True)


@pytest.mark.slow
def test_it_goes_on_where_somebody_has_left_who_was_not_in_yet(built: Workspace) -> None:
    rebuild(built, steps(1))
    inside = members_rebuilt(built) or {}
    leaver = next(who for who in CONTRIBUTORS if built.key_of(who) not in inside)
    request(built, leaver)
    opt_out_plainly(built.root)

    assert members_rebuilt(built) == inside
    found = rebuild(built, steps(1))
    assert found.done == 10
    assert rebuild(built, steps(1)).is_the_state


def test_a_damaged_beginning_is_begun_anew(built: Workspace) -> None:
    for damage in (
        lambda: flip_a_byte(next(built.rebuild.glob("*.safetensors"))),
        lambda: next(built.rebuild.glob("*.safetensors")).unlink(),
        lambda: (built.rebuild / "progress.json").write_text("{}"),
        lambda: (built.rebuild / "progress.json").unlink(),
    ):
        rebuild(built, steps(2))
        damage()
        assert rebuild(built, steps(1)).done == 5
        assert rebuild(built, steps(9)).is_the_state
        sittings.forget_rebuild(built)


def test_of_a_damaged_note_nobody_can_tell_who_is_in(built: Workspace) -> None:
    assert members_rebuilt(built) == {}
    rebuild(built, steps(1))
    (built.rebuild / "progress.json").write_text("{}")
    assert members_rebuilt(built) is None


@pytest.mark.slow
def test_a_rebuild_that_comes_to_destroyed_bytes_without_who_left_raises_no_alarm(
    built: Workspace,
) -> None:
    rebuild(built, steps(1))
    inside = members_rebuilt(built) or {}
    leaver = next(who for who in CONTRIBUTORS if built.key_of(who) not in inside)
    (destroyed,) = built.rebuild.glob("*.safetensors")
    (built.rebuild / "progress.json").write_text("{}")  # nobody can tell that they are not in it
    request(built, leaver)
    opt_out_plainly(built.root)
    assert not destroyed.exists()

    rebuild(built, steps(1))

    assert destroyed.exists()
    assert look.fn(Stock(built), "erased").findings == ()


def test_a_member_whose_vector_is_damaged_stops_it_and_what_was_done_stays(
    built: Workspace,
) -> None:
    rebuild(built, steps(1))
    inside = members_rebuilt(built) or {}
    other = next(who for who in CONTRIBUTORS if built.key_of(who) not in inside)
    flip_a_byte(files(built, other)[1])

    with pytest.raises(Exception, match=str(files(built, other)[1].name)):
        rebuild(built, steps(9))

    assert members_rebuilt(built) == inside or len(members_rebuilt(built) or {}) == 10
