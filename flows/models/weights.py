"""Weights of a merge state, to score with.

Where `base.streamed` is set, they are made tensor by tensor from files as a model asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import sift_core
from flows.models.merge import read_mask, stored_state
from flows.workspace.workspace import Workspace
from lineage import Member, MergeStateRecord
from sift_core import Grid, Kind, StoredMask, StoredState

if TYPE_CHECKING:
    import torch

    from sift_core import Mean, Weights


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
        return sift_core.LazilyServed(kind, state, base, mean)
    return sift_core.served_from(kind, state, base, mean)


def member_weights(
    workspace: Workspace, base: Mapping[str, torch.Tensor], shared: Weights, member: Member
) -> Weights:
    """The members' weights under a member's own mask. Raises AlteredError, CodecError."""
    if isinstance(shared, sift_core.LazilyServed):
        return shared.masked(stored_mask(workspace, member))
    mask = read_mask(workspace, member.contributor_key, member.mask_sha256)
    return sift_core.masked_weights(base, shared, mask)


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
