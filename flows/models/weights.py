"""Weights of a merge state: to score with, to write to a folder, to hold a folder against.

Where `base.streamed` is set, what is scored is made tensor by tensor from files as a model asks for
it. What is written or compared goes block by block in either case: its bits are the same.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch

import sift_core
from flows.models.merge import read_mask, stored_state
from flows.workspace.workspace import Workspace
from lineage import Member, MergeStateRecord
from sift_core import Grid, Kind, LazilyServed, Mean, StoredMask, StoredState, StoredWeights
from sift_core.serving import Weights


def served_weights(
    workspace: Workspace, record: MergeStateRecord, base: Mapping[str, torch.Tensor], members: int
) -> Weights:
    """θ0 + S/T of a state by its record. Raises AlteredError where it is not the recorded bytes."""
    kind, state = _kind_of(workspace, base), stored_state(workspace, record, members)
    return weights_to_score(workspace, kind, state, base)


def members_weights(
    workspace: Workspace, record: MergeStateRecord, base: Mapping[str, torch.Tensor], members: int
) -> Weights:
    """What members are served, each under their mask (`member_weights`); raises likewise."""
    kind, state = _kind_of(workspace, base), stored_state(workspace, record, members)
    mean = workspace.settings.exactness.member_mean
    return weights_to_score(workspace, kind, state, base, mean)


def weights_to_score(
    workspace: Workspace,
    kind: Kind,
    state: StoredState,
    base: Mapping[str, torch.Tensor],
    mean: Mean = "all",
) -> Weights:
    """Weights of a state's file, which stays where it is while they are in use."""
    if workspace.settings.base.streamed:
        return LazilyServed(kind, state, base, mean)
    return sift_core.served_from(kind, state, base, mean)


def member_weights(
    workspace: Workspace, base: Mapping[str, torch.Tensor], shared: Weights, member: Member
) -> Weights:
    """The members' weights under a member's own mask. Raises AlteredError, CodecError."""
    if isinstance(shared, LazilyServed):
        return shared.masked(stored_mask(workspace, member))
    mask = read_mask(workspace, member.contributor_key, member.mask_sha256)
    return sift_core.masked_weights(base, shared, mask)


def served_sha256(
    workspace: Workspace, record: MergeStateRecord, members: int, member: Member | None = None
) -> str:
    """`weights_sha256` of what anyone is served, or one member, from the files alone.

    Raises AlteredError, CodecError, MismatchError.
    """
    return sift_core.served_sha256(
        kind_of(workspace, record),
        stored_state(workspace, record, members),
        StoredWeights(workspace.base),
        None if member is None else stored_mask(workspace, member),
        "all" if member is None else workspace.settings.exactness.member_mean,
    )


def members_sha256(workspace: Workspace, record: MergeStateRecord, members: int) -> str:
    """`weights_sha256` of the members' weights, under nobody's mask; raises likewise."""
    return sift_core.served_sha256(
        kind_of(workspace, record),
        stored_state(workspace, record, members),
        StoredWeights(workspace.base),
        mean=workspace.settings.exactness.member_mean,
    )


def save_model(
    workspace: Workspace,
    folder: Path,
    record: MergeStateRecord,
    members: int,
    member: Member | None = None,
) -> str:
    """Write what anyone is served, or one member, as a plain Hugging Face folder.

    It is the base's own folder with other bytes in the trained tensors, so the same weights give
    the same bytes; a certificate names each file. Returns `weights_sha256` of the trained ones.
    Raises AlteredError, CodecError, MismatchError: then no file of weights is there.
    """
    weights = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(workspace.base, folder, ignore=weights, dirs_exist_ok=True)
    return sift_core.served_folder(
        folder,
        StoredWeights(workspace.base),
        kind_of(workspace, record),
        stored_state(workspace, record, members),
        None if member is None else stored_mask(workspace, member),
        "all" if member is None else workspace.settings.exactness.member_mean,
    )


def save_members(workspace: Workspace, path: Path, record: MergeStateRecord, members: int) -> str:
    """Write the members' weights of the trained tensors as one file; their `weights_sha256`.

    Only where they are not anyone's (`exactness.member_mean`). Raises as `save_model`.
    """
    return sift_core.members_file(
        path,
        StoredWeights(workspace.base),
        kind_of(workspace, record),
        stored_state(workspace, record, members),
    )


def _kind_of(workspace: Workspace, base: Mapping[str, torch.Tensor]) -> Kind:
    settings = workspace.settings.exactness
    shapes = {name: tuple(tensor.shape) for name, tensor in base.items()}
    return Kind(shapes, Grid(settings.grid_bits), settings.sign_seed)


def kind_of(workspace: Workspace, record: MergeStateRecord) -> Kind:
    """What a state and its vectors have in common, by the head of its file."""
    settings = workspace.settings.exactness
    path = workspace.state_file(record.state_sha256)
    shapes = sift_core.shapes_in(path, record.state_sha256)
    return Kind(shapes, Grid(settings.grid_bits), settings.sign_seed)


def stored_mask(workspace: Workspace, member: Member) -> StoredMask:
    """Where a member's mask is, and what lineage recorded of it."""
    path = workspace.mask_file(member.contributor_key, member.mask_sha256)
    return StoredMask(path, member.mask_sha256)
