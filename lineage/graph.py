"""The way from a contributor to every model version, or back from a version, as a graph.

Nodes stand in six columns, from who gave data to what is served; edges lead from left to right.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from lineage.reader import Reader
from lineage.records import (
    ContributorRecord,
    DatasetVersionRecord,
    FinetuningRecord,
    MergeStateRecord,
    ModelVersionRecord,
    Record,
    TaskVectorRecord,
    Text,
)
from lineage.times import Utc

Kind = Literal[
    "contributor", "dataset", "finetuning", "vector and mask", "merge state", "model version"
]
COLUMNS: tuple[Kind, ...] = (
    "contributor",
    "dataset",
    "finetuning",
    "vector and mask",
    "merge state",
    "model version",
)
ArtifactState = Literal["in use", "kept", "gone"]
LIMIT = 40
"""Nodes that are drawn of one kind; the others are counted."""


class Node(Record):
    """Something in the way; `gone` means that its bytes were destroyed, or the name erased."""

    name: Text
    kind: Kind
    label: Text
    detail: str
    state: ArtifactState
    since: Utc | None = None
    gone_at: Utc | None = None


class Graph(Record):
    """Nodes and edges (pairs of node names), and how many nodes of which kind are left out."""

    title: Text
    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    left_out: dict[str, int]

    def of(self, kind: Kind) -> list[Node]:
        """The nodes of one column, in their order."""
        return [node for node in self.nodes if node.kind == kind]

    def after(self, name: str) -> list[Node]:
        """Where the edges of a node lead."""
        following = {target for source, target in self.edges if source == name}
        return [node for node in self.nodes if node.name in following]


def contributor_graph(
    reader: Reader,
    contributor_key: str,
    records: Sequence[str] | None = None,
    title: str | None = None,
    limit: int = LIMIT,
) -> Graph:
    """Everything that was made from a contributor's data, or from some records of it.

    Raises LineageNotFoundError for an unknown contributor.
    """
    impact = reader.impact(contributor_key, records)
    used = {row.run_id for row in reader.memberships(contributor_key) if row.to_seq is None}
    nodes = [_contributor(impact.contributor, bool(used))]
    nodes += [_dataset(row) for row in impact.datasets]
    nodes += [_run(row, row.run_id in used) for row in impact.runs]
    nodes += [_vector(row, row.run_id in used) for row in impact.vectors]
    current = reader.current_state()
    nodes += [_state(row, row == current) for row in impact.states]
    nodes += [_version(row) for row in impact.versions]
    edges = [
        (_name(contributor_key), _data(contributor_key, row.sha256)) for row in impact.datasets
    ]
    edges += [
        (_data(contributor_key, row.dataset_sha256), f"run {row.run_id}") for row in impact.runs
    ]
    edges += [(f"run {row.run_id}", f"vector {row.run_id}") for row in impact.vectors]
    for stay in reader.memberships(contributor_key):
        for state in impact.states:
            if (
                stay.from_seq <= state.state_seq
                and (stay.to_seq or state.state_seq + 1) > state.state_seq
            ):
                edges.append((f"vector {stay.run_id}", f"state {state.state_seq}"))
    edges += [(f"state {row.state_seq}", _served(row)) for row in impact.versions]
    return _limited(title or f"From {nodes[0].label} to every model version", nodes, edges, limit)


def version_graph(reader: Reader, name: str, version: int, limit: int = LIMIT) -> Graph:
    """Everything that a model version was made from. Raises LineageNotFoundError."""
    trace = reader.trace(name, version)
    current = trace.state == reader.current_state()
    nodes, edges = [], []
    for member in trace.members:
        key, run_id = member.contributor.contributor_key, member.run.run_id
        data = _data(key, member.dataset.sha256)
        nodes += [
            _contributor(member.contributor, current),
            _dataset(member.dataset),
            _run(member.run, current),
            _vector(member.vector, current),
        ]
        edges += [
            (_name(key), data),
            (data, f"run {run_id}"),
            (f"run {run_id}", f"vector {run_id}"),
            (f"vector {run_id}", f"state {trace.state.state_seq}"),
        ]
    nodes += [_state(trace.state, current), _version(trace.version)]
    edges.append((f"state {trace.state.state_seq}", _served(trace.version)))
    return _limited(f"What {name} version {version} was made from", nodes, edges, limit)


def _limited(
    title: str, nodes: Sequence[Node], edges: Sequence[tuple[str, str]], limit: int
) -> Graph:
    """Leave out the older nodes of a kind beyond `limit`, and the edges that led to them."""
    kept: list[Node] = []
    left_out: dict[str, int] = {}
    for kind in COLUMNS:
        own = [node for node in nodes if node.kind == kind]
        kept += own[-limit:]
        if len(own) > limit:
            left_out[kind] = len(own) - limit
    names = {node.name for node in kept}
    led = tuple(edge for edge in edges if names.issuperset(edge))
    return Graph(title=title, nodes=tuple(kept), edges=led, left_out=left_out)


def _contributor(row: ContributorRecord, member: bool) -> Node:
    return Node(
        name=_name(row.contributor_key),
        kind="contributor",
        label=row.external_id or "name erased",
        detail=f"key {_short(row.contributor_key)}",
        state=_artifact_state(member, row.erased_at),
        since=row.added_at,
        gone_at=row.erased_at,
    )


def _dataset(row: DatasetVersionRecord) -> Node:
    current = not (row.superseded_at or row.destroyed_at)
    return Node(
        name=_data(row.contributor_key, row.sha256),
        kind="dataset",
        label=f"{row.train_rows} + {row.test_rows} rows",
        detail=_short(row.sha256),
        state=_artifact_state(current, row.destroyed_at),
        since=row.added_at,
        gone_at=row.destroyed_at,
    )


def _run(row: FinetuningRecord, used: bool) -> Node:
    # A record only: there are no bytes that could be destroyed.
    return Node(
        name=f"run {row.run_id}",
        kind="finetuning",
        label=f"{row.steps} steps, loss {row.last_loss:.3g}",
        detail=_short(row.run_id),
        state="in use" if used else "kept",
        since=row.finished_at,
    )


def _vector(row: TaskVectorRecord, used: bool) -> Node:
    dropped = " (mask kept)" if row.dropped_at and not row.destroyed_at else ""
    return Node(
        name=f"vector {row.run_id}",
        kind="vector and mask",
        label=f"density {row.nonzero / max(row.entries, 1):.2f}{dropped}",
        detail=_short(row.vector_sha256),
        state=_artifact_state(used, row.destroyed_at),
        since=row.created_at,
        gone_at=row.destroyed_at,
    )


def _state(row: MergeStateRecord, current: bool) -> Node:
    return Node(
        name=f"state {row.state_seq}",
        kind="merge state",
        label=f"state {row.state_seq}, {row.how}",
        detail=_short(row.state_sha256),
        state=_artifact_state(current, row.destroyed_at),
        since=row.created_at,
        gone_at=row.destroyed_at,
    )


def _version(row: ModelVersionRecord) -> Node:
    served = row.champion_from is not None and row.champion_to is None
    return Node(
        name=_served(row),
        kind="model version",
        label=f"{row.name} {row.version}" + (", served" if served else ""),
        detail=_short(row.served_sha256),
        state=_artifact_state(served, row.destroyed_at),
        since=row.registered_at,
        gone_at=row.destroyed_at,
    )


def _artifact_state(used: bool, gone_at: datetime | None) -> ArtifactState:
    if gone_at is not None:
        return "gone"
    return "in use" if used else "kept"


def _name(contributor_key: str) -> str:
    return f"contributor {contributor_key}"


def _data(contributor_key: str, sha256: str) -> str:
    # The same content may be several contributors'.
    return f"data {contributor_key} {sha256}"


def _served(row: ModelVersionRecord) -> str:
    return f"version {row.name} {row.version}"


def _short(digest: str) -> str:
    return f"{digest[:8]}…"
