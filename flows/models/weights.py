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
from sift_core import Grid, Kind, LazilyServed, StoredMask, StoredState, StoredWeights
from sift_core.serving import Weights


def served_weights(
    workspace: Workspace, record: MergeStateRecord, base: Mapping[str, torch.Tensor], members: int
) -> Weights:
    """θ0 + S/T of a state by its record. Raises AlteredError where it is not the recorded bytes."""
    settings = workspace.settings.exactness
    shapes = {name: tuple(tensor.shape) for name, tensor in base.items()}
    kind = Kind(shapes, Grid(settings.grid_bits), settings.sign_seed)
    return weights_to_score(workspace, kind, stored_state(workspace, record, members), base)


def weights_to_score(
    workspace: Workspace,
    kind: Kind,
    state: StoredState,
    base: Mapping[str, torch.Tensor],
) -> Weights:
    """θ0 + S/T of a state's file, which stays where it is while the weights are in use."""
    if workspace.settings.base.streamed:
        return LazilyServed(kind, state, base)
    return sift_core.served_from(kind, state, base)


def member_weights(
    workspace: Workspace, base: Mapping[str, torch.Tensor], served: Weights, member: Member
) -> Weights:
    """What `served` is under a member's own mask. Raises AlteredError, CodecError."""
    if isinstance(served, LazilyServed):
        return served.masked(stored_mask(workspace, member))
    mask = read_mask(workspace, member.contributor_key, member.mask_sha256)
    return sift_core.masked_weights(base, served, mask)


def served_sha256(
    workspace: Workspace, record: MergeStateRecord, members: int, member: Member | None = None
) -> str:
    """`weights_sha256` of θ0 + S/T, perhaps under one member's mask, from the files alone.

    Raises AlteredError, CodecError, MismatchError.
    """
    return sift_core.served_sha256(
        kind_of(workspace, record),
        stored_state(workspace, record, members),
        StoredWeights(workspace.base),
        None if member is None else stored_mask(workspace, member),
    )


def save_model(
    workspace: Workspace,
    folder: Path,
    record: MergeStateRecord,
    members: int,
    member: Member | None = None,
) -> str:
    """Write θ0 + S/T, perhaps under one member's mask, as a plain Hugging Face folder.

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
    )


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
