"""The deepest levels of a certificate: what it names is computed again with the method."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import sift_core
from flows.hashing import artifact_name
from flows.progress import tracked
from lineage.certificates.chain import Entry
from lineage.certificates.envelope import EvidenceError
from lineage.certificates.statement import State, Statement
from lineage.state_export import read_export
from sift_core import Grid, Kind, SiftCoreError, StoredState, StoredVector, StoredWeights
from sift_core.parameterization import start
from sift_core.serving import Weights


def check_state(content: Entry, path: Path) -> str:
    """A merge-state file is the certified one, and its sums have the certified linear digest."""
    state = _state(content)
    with _as_evidence():
        stored = StoredState(path, state.state_sha256, state.members)
        lanes = sift_core.stored_digest(_kind(state, stored), stored, state.digest_seed)
    if tuple(str(lane) for lane in lanes) != state.linear_digest:
        raise _differs("the linear digest of the sums is not the certified one")
    return f"the certified bytes; their linear digest in {len(lanes)} lanes, computed again"


def check_served(content: Statement, path: Path, base: Path, folder: Path) -> str:
    """θ0 + S/T, from state and base model, are what the model folder holds, as certified."""
    state, model = _state(content), content.predicate.model
    with _as_evidence():
        if sift_core.folder_sha256(base) != state.base_id:
            raise _differs(f"{base} is not the base model the merge was made on")
        stored = StoredState(path, state.state_sha256, state.members)
        kind = _kind(state, stored)
        weights = start(StoredWeights(base), kind.shapes)
        mean = model.member_mean if model else "all"
        computed = sift_core.served_sha256(kind, stored, weights, {"all", mean})
        held = sift_core.weights_sha256(_weights(folder, kind.shapes))
    found, own = computed["all"], computed[mean]
    if model is None or not found == held == model.served_sha256:
        raise _differs(f"θ0 + S/T is {found[:16]}…, the model folder holds {held[:16]}…")
    if own != model.members_sha256:
        raise _differs(f"the members' weights are {own[:16]}…, other ones than certified")
    return (
        f"θ0 + S/T over {state.members} members is what the folder holds, {found[:16]}…; the "
        f"members' weights are the certified ones, {own[:16]}…"
    )


def check_vectors(content: Entry, export: bytes, folder: Path) -> str:
    """The sum of the vectors of exactly the listed members is the certified merge state.

    `folder` has `vectors/` and `masks/`, as a workspace has. `export` was checked before.
    """
    state = _state(content)
    _, members = read_export(export)
    stored = [
        StoredVector(
            folder / "vectors" / _name(member.contributor_key, member.vector_sha256),
            folder / "masks" / _name(member.contributor_key, member.mask_sha256),
            member.vector_sha256,
            member.mask_sha256,
        )
        for member in members
    ]
    if not stored:
        return "the state has no members: there is nothing to add up"
    with _as_evidence():
        shapes = sift_core.shapes_in(stored[0].mask, stored[0].mask_sha256)
        kind = Kind(shapes, Grid(state.grid_bits), state.sign_seed)
        found = sift_core.rebuilt_sha256(
            kind, stored, lambda blocks: tracked("Adding up vectors", blocks, len(blocks))
        )
    if found != state.state_sha256:
        raise _differs(f"the sum of {len(stored)} vectors is {found[:16]}…, another state")
    return f"the sum of {len(stored)} vectors is the certified {found[:16]}…, bit for bit"


def _name(key: str, sha256: str) -> str:
    return artifact_name(key, sha256, ".safetensors")


def _state(content: Entry) -> State:
    if content.predicate.state is None:
        raise _differs("nothing had been built, so no merge state is certified")
    return content.predicate.state


def _kind(state: State, stored: StoredState) -> Kind:
    shapes = sift_core.shapes_in(stored.path, stored.sha256)
    return Kind(shapes, Grid(state.grid_bits), state.sign_seed)


def _weights(folder: Path, names: Collection[str]) -> Weights:
    found = StoredWeights(folder).only(names)
    if len(found) != len(names):
        raise _differs(f"{folder} has not all {len(names)} parameters of the merge")
    return found


@contextmanager
def _as_evidence() -> Iterator[None]:
    """What the method finds wrong with a file is what is wrong with the evidence."""
    try:
        yield
    except SiftCoreError as error:
        raise _differs(error.facts.rstrip(".")) from error


def _differs(why: str) -> EvidenceError:
    return EvidenceError(
        f"It does not agree with the certificate: {why}.",
        remedy="ask the issuer for what the certificate was signed with.",
    )
