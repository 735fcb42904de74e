"""Ids that look alike: asked about when they come in, shown when one of them leaves.

`Ann@Example.org` beside `ann@example.org` is one person under two spellings, or two people. Taken
for two without a word, the opt-out of one would leave the other's data; and whoever left would come
in again with one capital changed. So the second is refused until somebody says that they are two.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.errors import UsageError
from flows.workspace.identity import normal_id, read_secret
from flows.workspace.likeness import forms, likenesses
from flows.workspace.workspace import Workspace
from lineage import LikenessRecord, Reader

if TYPE_CHECKING:
    from flows.data.datasets import Dataset

_OURS = re.compile(r"(opt-out|backup|disclosure)-[0-9]+")
"""Numbers that we give; some commands take them where they take an id."""


class LookAlikeError(UsageError):
    """An id looks like another one, and nobody has said whether they are two people."""


@dataclass(frozen=True)
class LookAlike:
    """Somebody whose id looks like another's; without an id, since they have left."""

    contributor_key: str
    external_id: str | None
    two_people: bool
    """Whether somebody said that they are not the same person."""

    def __str__(self) -> str:
        key = f"key {self.contributor_key[:12]}…"
        if self.external_id is None:
            return f"somebody who has left ({key})"
        return f"{shown(self.external_id)} ({key})"


def look_alikes(
    workspace: Workspace, reader: Reader, external_id: str | None, key: str
) -> list[LookAlike]:
    """Who else looks like the id, or like whom this key was, in order of key."""
    known = _likenesses(workspace, reader)
    if external_id is not None:
        known[key] = likenesses(read_secret(workspace.root), external_id)
    names = {row.contributor_key: row.external_id for row in reader.contributors()}
    apart = _apart(reader)
    return [
        LookAlike(other, names.get(other), frozenset({key, other}) in apart)
        for other in sorted(_alike(known)[key])
    ]


def require_two_people(
    workspace: Workspace,
    reader: Reader,
    datasets: Sequence["Dataset"],
    two_people: Collection[str],
) -> set[tuple[str, str]]:
    """Raise LookAlikeError where somebody new looks like another and is not in `two_people`.

    `two_people` are ids of whom it is said that they are somebody else than whom they look like.
    Returns these, as (key, key of whom they look like), and raises UsageError where there are none.
    """
    said = {workspace.key_of(external_id): external_id for external_id in two_people}
    names = {row.contributor_key: row.external_id for row in reader.contributors()}
    new = {own.key: own.external_id for own in datasets if names.get(own.key) is None}
    known = _likenesses(workspace, reader)
    secret = read_secret(workspace.root)
    known |= {own.key: likenesses(secret, own.external_id) for own in datasets}
    _require_no_key(new.values(), known)
    alike, apart = _alike(known), _apart(reader)
    for key, name in new.items():
        for other in sorted(alike[key]):
            told = {key, other} & said.keys() or frozenset({key, other}) in apart
            if not told:
                raise _look_alike(reader, name, other, names.get(other) or new.get(other))
    for key, name in said.items():
        if not alike[key]:
            raise UsageError(
                f"Nobody looks like {shown(name)}.",
                remedy="leave --two-people out, or name an id of these files; nothing was added.",
            )
    return {(key, other) for key in said for other in alike[key]}


def erased_likenesses(workspace: Workspace, reader: Reader, key: str) -> list[LikenessRecord]:
    """What stays of a contributor's id when it is erased; of one that is gone, what was kept."""
    name = reader.contributor(key).external_id
    if name is None:
        return [row for row in reader.process.likenesses() if row.contributor_key == key]
    found = sorted(likenesses(read_secret(workspace.root), name))
    return [LikenessRecord(contributor_key=key, likeness=one) for one in found]


def unknown_contributor(workspace: Workspace, reader: Reader, external_id: str) -> UsageError:
    """What to say of an id that nobody here has, and of whoever may be meant."""
    if external_id in {row.contributor_key for row in reader.contributors()}:
        return UsageError(
            f"{external_id!r} is no id but the key of a contributor.",
            remedy="`sift contributors list` shows whose; name them by their id.",
        )
    key = workspace.key_of(external_id)
    found = look_alikes(workspace, reader, external_id, key)
    if found:
        return UsageError(
            f"There is no contributor {shown(external_id)}. Did you mean "
            f"{' or '.join(map(str, found))}?",
            remedy="ids match exactly: write it as it was when it came in.",
        )
    return UsageError(
        f"There is no contributor {shown(external_id)}.",
        remedy="`sift contributors list` shows who is there; ids match exactly. After an opt-out "
        "name them by their key.",
    )


def shown(external_id: str) -> str:
    """An id in quotes, and letter by letter where it may look like something else."""
    return repr(external_id) if external_id.isascii() else f"{external_id!r} = {external_id!a}"


def _look_alike(reader: Reader, name: str, other: str, other_name: str | None) -> LookAlikeError:
    standing = [row for row in reader.process.standing_requests(other) if row.records is None]
    who = "a contributor who has left" if other_name is None else f"{shown(other_name)}"
    if standing:
        who += (
            f" ({standing[-1].request_id})"
            if other_name is None
            else (f", who has opted out ({standing[-1].request_id})")
        )
    return LookAlikeError(
        f"Contributor {shown(name)} looks like {who}.",
        remedy="write one person's id in one way, as it was first; who has left comes back by "
        "`--rejoin` alone. Where they are two people, say so: `sift contributors add --two-people "
        f'"{name}" FILE`. Nothing was added.',
    )


def _require_no_key(new: Iterable[str], known: Mapping[str, object]) -> None:
    """Raise UsageError where an id would be taken for a key, or for a number of ours."""
    keys = {form for key in known for form in forms(key)}
    for name in new:
        if keys & forms(name):
            raise UsageError(
                f"The contributor id {shown(name)} is the key of a contributor of this workspace.",
                remedy="map it to another id: commands take either. Nothing was added.",
            )
        if _OURS.fullmatch(normal_id(name).casefold()):
            raise UsageError(
                f"The contributor id {shown(name)} reads like a number that this workspace gives.",
                remedy="map it to another id: commands take either. Nothing was added.",
            )


def _likenesses(workspace: Workspace, reader: Reader) -> dict[str, frozenset[str]]:
    """{contributor key: what the id looks like}, of everyone who is known or was."""
    secret = read_secret(workspace.root)
    kept: defaultdict[str, set[str]] = defaultdict(set)
    for row in reader.process.likenesses():
        kept[row.contributor_key].add(row.likeness)
    found = {key: frozenset(own) for key, own in kept.items()}
    for contributor in reader.contributors():
        if contributor.external_id is not None:
            found[contributor.contributor_key] = likenesses(secret, contributor.external_id)
    return found


def _alike(known: Mapping[str, frozenset[str]]) -> Mapping[str, set[str]]:
    """{contributor key: keys of all others that share a likeness}."""
    sharing: defaultdict[str, set[str]] = defaultdict(set)
    for key, own in known.items():
        for one in own:
            sharing[one].add(key)
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for key, own in known.items():
        for one in own:
            alike[key] |= sharing[one] - {key}
    return alike


def _apart(reader: Reader) -> set[frozenset[str]]:
    """Pairs of keys of whom it was said that they are two people."""
    return {
        frozenset({row.contributor_key, row.other_key}) for row in reader.process.distinctions()
    }
