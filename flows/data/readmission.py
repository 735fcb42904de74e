"""Who opted out is taken in again by new consent alone, and a withdrawn record not at all.

An opt-out binds from the moment it was received, whether it was run yet or not. New consent is for
who left: what was destroyed stays destroyed, and a request from before it binds no more.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from flows.errors import UsageError
from lineage import RequestRecord

if TYPE_CHECKING:
    from flows.data.datasets import Dataset


class WithdrawnRecordsError(UsageError):
    """Rows that were withdrawn come in again."""


def require_not_withdrawn(
    external_id: str, records: Collection[str], requests: Sequence[RequestRecord]
) -> None:
    """An opt-out stands from the moment it was received, whether it was run yet or not."""
    for request in requests:
        if request.records is None:
            raise UsageError(
                f"Contributor {external_id!r} opted out.",
                remedy="leave their rows out; where they have consented anew, say so: `sift "
                "contributors add --rejoin REFERENCE FILE`.",
            )
        if again := sorted(set(records).intersection(request.records)):
            raise WithdrawnRecordsError(
                f"Contributor {external_id!r} withdrew {len(again)} of these records "
                f"({request.request_id}), first {again[0]}.",
                remedy="leave these rows out: a withdrawal is final. Nothing was added.",
            )


def returning(
    datasets: Sequence["Dataset"],
    standing: Mapping[str, Sequence[RequestRecord]],
    waiting: Collection[str],
) -> set[str]:
    """The contributors who opted out and come back. Raises UsageError while an opt-out goes on."""
    back = set()
    for dataset in datasets:
        whole = [row for row in standing[dataset.key] if row.records is None]
        if going_on := [row for row in standing[dataset.key] if row.request_id in waiting]:
            raise UsageError(
                f"{going_on[0].request_id} of contributor {dataset.external_id!r} is not done.",
                remedy=f"finish it first: `sift opt-out run {going_on[0].request_id}`; what is "
                "there must be gone before anything new comes.",
            )
        if whole:
            back.add(dataset.key)
    if not back:
        raise UsageError(
            "Nobody in these files has opted out.", remedy="leave --rejoin out; nothing was added."
        )
    return back
