"""Which rows the base model can read: asked when they come in, and again whenever they are scored.

Rows are refused where they come in (`require_readable`). What stands in a workspace all the same,
from an older release or in the words of an audit, never stops a removal: it is left out and counted
(`encode_readable`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import sift_core
from flows.data.rows import record_json, to_example
from flows.errors import UsageError
from flows.progress import tracked
from flows.training.base_model import ensure_base, tokenizer
from flows.training.method import reading
from flows.workspace.workspace import Workspace
from sift_core.errors import DataError, TooLongError

if TYPE_CHECKING:
    from sift_core import BaseModel, Encoded, Example


class _Rows(Protocol):
    """The rows of one contributor, and which file and line each record came from."""

    external_id: str
    places: dict[str, str]

    @property
    def rows(self) -> list[dict[str, Any]]: ...


def require_readable(workspace: Workspace, datasets: Sequence[_Rows]) -> dict[str, int]:
    """How many rows of each contributor are longer than what is read at once.

    Raises UsageError at the first row that could never be finetuned on. Makes the base model before
    the first build, so a base that cannot work is refused before anybody is added. Raises
    ModelError then. What a merge was made on, a build alone replaces.
    """
    with workspace.lineage.reader() as reader:
        built = reader.current_state() is not None
    if not built:
        ensure_base(workspace)
    settings, own = workspace.settings, tokenizer(workspace)
    how = reading(settings.method)
    long: dict[str, int] = {}
    for dataset in tracked("Reading rows", datasets, len(datasets)):
        long[dataset.external_id] = 0
        for row in dataset.rows:
            try:
                encoded = sift_core.encode(to_example(row), own, settings.base.labels, how)
            except DataError as error:
                where = dataset.places[record_json(row)]
                raise UsageError(
                    f"{where}, contributor {dataset.external_id!a}: {error.facts}",
                    remedy=f"{error.remedy.rstrip('.')}. Nothing was added.",
                ) from None
            long[dataset.external_id] += encoded.is_long
    return long


def encode_readable(
    workspace: Workspace, base: BaseModel, examples: Sequence[Example]
) -> tuple[Encoded, Counter[str]]:
    """The examples that the base model can read, encoded; and how many are left out, by reason."""
    unread: Counter[str] = Counter()
    how = reading(workspace.settings.method)
    records = []
    for example in examples:
        try:
            records.append(sift_core.encode(example, base.tokenizer, base.labels, how))
        except TooLongError:
            unread[f"longer than the {how.max_length} tokens that are read"] += 1
        except DataError as error:
            unread[f"refused by the tokenizer: {type(error.__cause__ or error).__name__}"] += 1
    return sift_core.collated(records, base.tokenizer, base.labels), unread
