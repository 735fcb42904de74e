"""Whose quality is measured: a few members, drawn once and for all, so that scoring does not grow.

A contributor's key is a keyed hash of their id. Its own hash decides who is drawn, so nobody can
choose to be; whoever is in a sample stays in it, and a place that is left goes to the next. So the
model before and the one after are asked of the same members.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from sift_bytes import sha256_of


class _Keyed(Protocol):
    @property
    def contributor_key(self) -> str: ...


Someone = TypeVar("Someone", bound=_Keyed)


def sample(members: Sequence[Someone], count: int) -> list[Someone]:
    """The `count` members whose keys hash lowest, in the order of their keys; all where fewer."""
    drawn = sorted(members, key=_lot)[:count]
    return sorted(drawn, key=lambda member: member.contributor_key)


def _lot(member: _Keyed) -> str:
    return sha256_of(f"evaluation sample {member.contributor_key}".encode())
