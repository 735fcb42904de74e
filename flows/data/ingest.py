"""Contributors' files in, validated and content-addressed datasets out.

Everything is checked before anything is written; a refused file changes nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.data.datasets import Dataset, split_rows
from flows.data.readers import read_rows
from flows.data.rows import Kind, LabelledRow, Row, kinds_for, parse_row, record_json
from flows.errors import UsageError
from flows.workspace.identity import normal_id
from flows.workspace.workspace import Workspace


def read_datasets(workspace: Workspace, files: Sequence[Path]) -> list[Dataset]:
    """Read and check files of rows; one dataset per contributor, in order of id."""
    _require_once(files)
    rows: dict[str, list[Row]] = {}
    spellings: dict[str, str] = {}
    keys: dict[str, str] = {}
    labels = workspace.settings.base.labels
    kinds = kinds_for(labels)
    places: dict[str, dict[str, str]] = {}
    for path in files:
        for where, fields in read_rows(path, kinds):
            row = _checked(where, fields, kinds, labels)
            if row.contributor not in keys:
                keys[row.contributor] = _key(workspace, where, row.contributor)
            key = keys[row.contributor]
            if spellings.setdefault(key, row.contributor) != row.contributor:
                raise UsageError(
                    f"{where}: contributor {row.contributor!a} is the same as "
                    f"{spellings[key]!a} in another Unicode spelling.",
                    remedy="write an id in one way; nothing was added.",
                )
            rows.setdefault(key, []).append(row)
            places.setdefault(key, {}).setdefault(record_json(row.stored()), where)
    settings = workspace.settings.data
    datasets = []
    for key, own in sorted(rows.items(), key=lambda item: spellings[item[0]]):
        name = normal_id(spellings[key])
        if len(own) < settings.min_rows:
            raise UsageError(
                f"Contributor {name!r} has {len(own)} row{'s'[: len(own) - 1]}, fewer than "
                f"{settings.min_rows}: some train, some are held out.",
                remedy="add rows for this contributor, or leave them out.",
            )
        dataset = split_rows(name, key, [row.stored() for row in own], settings.held_out)
        dataset.places.update(places[key])
        datasets.append(dataset)
    return datasets


def _require_once(files: Sequence[Path]) -> None:
    # The same rows twice would weigh twice, which nobody means.
    paths = [path.resolve() for path in files]
    for index, path in enumerate(paths):
        if path in paths[:index]:
            raise UsageError(
                f"{files[index]} is given twice.", remedy="name every file once; nothing was added."
            )


def _checked(where: str, fields: Any, kinds: Sequence[Kind], labels: Sequence[str]) -> Row:
    try:
        row = parse_row(fields, kinds)
    except ValueError as error:
        raise UsageError(
            f"{where}: {error}.",
            remedy="mend this line; nothing was added. What a workspace learns from is settled by "
            "base.labels in its params.yaml.",
        ) from None
    if isinstance(row, LabelledRow) and row.label not in labels:
        raise UsageError(
            f"{where}: label {row.label[:40]!a} is not one of {', '.join(labels)}.",
            remedy="correct the label, or list it under base.labels of a new workspace.",
        )
    return row


def _key(workspace: Workspace, where: str, external_id: str) -> str:
    try:
        return workspace.key_of(external_id)
    except UsageError as error:
        raise UsageError(f"{where}: {error.facts}", remedy=error.remedy) from None
