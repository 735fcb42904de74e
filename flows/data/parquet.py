"""Rows of a Parquet file, by Arrow, which reads whatever a file says that it holds.

A small file can ask for any amount of memory: compressed, by a dictionary, or by one repeated
value. So the sizes in its metadata are looked at before anything is decoded, dictionaries are kept
as such, and a batch is measured before its texts are made.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from flows.data.row_files import ROW_BYTES, Columns, Size, unreadable
from flows.data.rows import Kind
from flows.errors import UsageError

_BATCH_ROWS = 1024
_BATCH_BYTES = 1 << 28
_METADATA_BYTES = 1 << 26
_PREFIXED = "DELTA_BYTE_ARRAY"
"""An encoding by which a short page means texts without bound, each the one before and more."""
_OF_A_TURN = ("role", "content", "name", "tool_call_id", "id", "type", "arguments", "tool_calls")
"""Texts of a turn, and of the calls of tools in it."""
_AS_JSON = ("arguments", "tools")
"""What has fields of its own in every row: a column of structures would hold those of all rows."""


def parquet_rows(path: Path, kinds: Sequence[Kind]) -> Iterator[tuple[str, Any]]:
    """Every row with where it stands. Raises UsageError, whatever Arrow raises."""
    size = Size(path)
    number = 0
    try:
        with pa.parquet.ParquetFile(path, **_limits(path)) as probe:
            leaves = _leaves(path, probe, kinds)
            _require_bounded(size, probe, leaves)
            prefixed, batch_rows = _prefixed(probe, leaves)
        names = list(leaves.values())
        as_such = [name for at, name in leaves.items() if at not in prefixed]
        with pa.parquet.ParquetFile(path, read_dictionary=as_such, **_limits(path)) as file:
            for batch in file.iter_batches(batch_rows, columns=names, use_threads=False):
                size.add(sum(_decoded_bytes(column) for column in batch.columns))
                size.add((len(batch) - 1) * ROW_BYTES)
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path.name} row {number}", row
    except UsageError:
        raise
    except Exception as error:
        # A foreign library raises anything, its own errors and Python's: see the tests.
        raise unreadable(path, error) from error


def _limits(path: Path) -> dict[str, Any]:
    """Metadata larger than this, or than the file itself allows, are refused by Arrow."""
    limit = min(_METADATA_BYTES, max(1 << 16, path.stat().st_size))
    return {"thrift_string_size_limit": limit, "thrift_container_size_limit": limit}


def _leaves(path: Path, file: Any, kinds: Sequence[Kind]) -> dict[int, str]:
    """{number of a column of the file: its path}, of the columns that are read alone.

    Raises UsageError where one is missing, or is no text.
    """
    schema = file.schema
    header = [schema.column(at).path.split(".")[0] for at in range(len(schema))]
    top = list(dict.fromkeys(header))
    if len(top) < len(file.schema_arrow.names):
        top = file.schema_arrow.names  # two columns of one name, or one of no leaves
    columns = Columns.named(path, top, kinds)
    leaves = {}
    for at, name in enumerate(header):
        column = schema.column(at)
        inner = column.path.split(".")
        if name not in columns.places:
            continue
        for structured in _AS_JSON:
            if structured in inner[:-1]:
                raise UsageError(
                    f"{path.name}: column `{name}` holds `{structured}` as a structure.",
                    remedy=f"write `{structured}` as a text of JSON; nothing was added.",
                )
        if len(inner) > 1 and inner[-1] not in _OF_A_TURN:
            continue
        kind = column.logical_type.type
        if kind in _NOTHING:
            continue
        if column.physical_type != "BYTE_ARRAY" or kind not in _TEXTS:
            raise UsageError(
                f"{path.name}: column `{name}` is no text but "
                f"{column.physical_type if kind == 'NONE' else kind}.",
                remedy="write it as strings; nothing was added.",
            )
        leaves[at] = column.path
    return leaves


_TEXTS = {"STRING", "ENUM", "JSON"}
_NOTHING = {"UNKNOWN", "NULL"}
"""Of a column in which every field is missing."""


def _require_bounded(size: Size, file: Any, leaves: dict[int, str]) -> None:
    """Raise UsageError where a file says itself that it is too large."""
    size.require(file.metadata.num_rows * ROW_BYTES)
    size.require(sum(chunk.total_uncompressed_size for _, chunk in _chunks(file, leaves)))


def _prefixed(file: Any, leaves: dict[int, str]) -> tuple[set[int], int]:
    """The columns in which a text may be the one before and more; how many rows to decode at once.

    No text is longer than its column's bytes, so that bounds a batch of them.
    """
    chunks = [(at, chunk) for at, chunk in _chunks(file, leaves) if _PREFIXED in chunk.encodings]
    largest = max((chunk.total_uncompressed_size for _, chunk in chunks), default=0)
    rows = min(_BATCH_ROWS, _BATCH_BYTES // max(1, largest))
    return {at for at, _ in chunks}, max(1, rows)


def _chunks(file: Any, leaves: dict[int, str]) -> Iterator[tuple[int, Any]]:
    for group in range(file.metadata.num_row_groups):
        for at in leaves:
            yield at, file.metadata.row_group(group).column(at)


def _decoded_bytes(array: Any) -> int:
    """What the texts of an array come to: a dictionary's as often as they are named."""
    if pa.types.is_dictionary(array.type):
        lengths = pa.compute.binary_length(array.dictionary.cast(pa.large_string()))
        return pa.compute.sum(lengths.take(array.indices)).as_py() or 0
    if pa.types.is_struct(array.type):
        return sum(_decoded_bytes(one) for one in array.flatten())
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        # Many empty turns are many objects.
        return _decoded_bytes(array.flatten()) + ROW_BYTES * len(array.flatten())
    return int(array.nbytes)
