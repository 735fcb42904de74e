"""Weights of a merge state: to score with, to write to a folder, to hold a folder against.

Where `base.streamed` is set, what is scored is made tensor by tensor from files as a model asks for
it. What is written or compared goes block by block in either case: its bits are the same.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

import sift_core
from flows.integrations.mlflow.card import MEMBERS_FILE, SERVED_FOLDER
from flows.models.merge import read_mask, stored_state
from flows.training.base_model import commit, hub_id
from flows.training.method import parameterization
from flows.workspace.workspace import Workspace
from lineage import Member, MergeStateRecord
from sift_core import (
    Grid,
    Kind,
    LazilyServed,
    Mean,
    StoredMask,
    StoredState,
    StoredWeights,
    WeightsWriter,
)
from sift_core.parameterization import Adapter, start
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


@dataclass(frozen=True)
class ServedDigests:
    """`weights_sha256` of what a merge state serves."""

    anyone: str
    """θ0 + S/T."""
    members: str
    """What members are served, before their masks: θ0 + S/C, or the same (`member_mean`)."""

    @classmethod
    def of(cls, found: Mapping[Mean, str]) -> "ServedDigests":
        """From one digest for each mean that is in use."""
        return cls(found["all"], found.get("counted", found["all"]))


def served_digests(workspace: Workspace, record: MergeStateRecord, members: int) -> ServedDigests:
    """What the weights of a state hash to, from its file and the base alone.

    Raises AlteredError, CodecError, MismatchError.
    """
    kind, state = kind_of(workspace, record), stored_state(workspace, record, members)
    means = _means(workspace)
    return ServedDigests.of(sift_core.served_sha256(kind, state, _start(workspace, kind), means))


def save_version(
    workspace: Workspace, folder: Path, record: MergeStateRecord, members: int
) -> ServedDigests:
    """Write what a model version holds: the model for anyone, and beside it the members' weights.

    The latter only where they are others (`exactness.member_mean`). The state is read once. Raises
    AlteredError, CodecError, MismatchError: then no file of weights is there.
    """
    kind = kind_of(workspace, record)
    base = _start(workspace, kind)
    own_files = {
        "all": lambda: _model_folder(workspace, folder / SERVED_FOLDER, kind),
        "counted": lambda: sift_core.weights_file(folder / MEMBERS_FILE, base, kind),
    }
    with ExitStack() as stack:
        writers = {mean: stack.enter_context(own_files[mean]()) for mean in _means(workspace)}
        sift_core.serve(kind, stored_state(workspace, record, members), base, writers)
    return ServedDigests.of({mean: writer.sha256 for mean, writer in writers.items()})


def export_sha256(
    workspace: Workspace, record: MergeStateRecord, members: int, member: Member | None
) -> str:
    """`weights_sha256` of what one member is served, None: anyone, from the files alone.

    Raises AlteredError, CodecError, MismatchError.
    """
    mean = _mean_for(workspace, member)
    kind = kind_of(workspace, record)
    found = sift_core.served_sha256(
        kind,
        stored_state(workspace, record, members),
        _start(workspace, kind),
        [mean],
        None if member is None else stored_mask(workspace, member),
    )
    return found[mean]


def save_export(
    workspace: Workspace,
    folder: Path,
    record: MergeStateRecord,
    members: int,
    member: Member | None,
) -> None:
    """Write what one member is served, None: anyone, as a folder that others load.

    A plain Hugging Face folder, or PEFT's of an adapter. Raises AlteredError, CodecError,
    MismatchError: then no file of weights is there.
    """
    kind = kind_of(workspace, record)
    mask = None if member is None else stored_mask(workspace, member)
    with _model_folder(workspace, folder, kind) as writer:
        state, base = stored_state(workspace, record, members), _start(workspace, kind)
        sift_core.serve(kind, state, base, {_mean_for(workspace, member): writer}, mask)


def save_merged(
    workspace: Workspace,
    folder: Path,
    record: MergeStateRecord,
    members: int,
    member: Member | None,
) -> None:
    """Write the same with its adapter added to the weights of the base; raises likewise."""
    with workspace.scratch("merged") as scratch:
        save_export(workspace, scratch / "adapter", record, members, member)
        labels = workspace.settings.base.labels
        sift_core.add_adapter(workspace.base, scratch / "adapter", labels, folder)


def adapters_as_drawn(workspace: Workspace, record: MergeStateRecord, folder: Path) -> bool:
    """Whether every frozen A in a folder of adapters is the drawn one; True of full weights."""
    kind, found = kind_of(workspace, record), StoredWeights(folder)
    if workspace.settings.finetune.adapter is None:
        return True
    drawn = sift_core.frozen_projections(
        StoredWeights(workspace.base), kind, workspace.settings.exactness.sign_seed
    )
    return all(name in found and torch.equal(found[name], a) for name, a in drawn.items())


@contextmanager
def _model_folder(workspace: Workspace, folder: Path, kind: Kind) -> Iterator[WeightsWriter]:
    """The base's own folder with other bytes in the trained tensors; of adapters, PEFT's.

    So the same weights give the same bytes; a certificate names each file.
    """
    settings, chosen = workspace.settings, parameterization(workspace.settings)
    if isinstance(chosen, Adapter):
        named = hub_id(settings.base), commit(workspace)
        with sift_core.adapter_folder(
            folder, workspace.base, settings.base.labels, chosen, kind, *named
        ) as writer:
            yield writer
        return
    weights = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(workspace.base, folder, ignore=weights, dirs_exist_ok=True)
    with sift_core.model_folder(folder, StoredWeights(workspace.base), kind) as writer:
        yield writer


def _start(workspace: Workspace, kind: Kind) -> Weights:
    """θ0 of what is merged."""
    return start(StoredWeights(workspace.base), kind.shapes)


def _means(workspace: Workspace) -> tuple[Mean, ...]:
    """Those that a model version needs."""
    return ("all", "counted") if workspace.settings.exactness.member_mean == "counted" else ("all",)


def _mean_for(workspace: Workspace, member: Member | None) -> Mean:
    return "all" if member is None else workspace.settings.exactness.member_mean


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
