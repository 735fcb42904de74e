"""What a merge state serves, as files: a version's, an export's, and what they must hash to.

Written and compared block by block, never in memory as a whole, but for adapters that are added to
their base.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sift_core
from flows.integrations.mlflow.card import MEMBERS_FILE, SERVED_FOLDER
from flows.models.merge import stored_state
from flows.models.weights import kind_of, stored_mask
from flows.training.base_model import commit, hub_id
from flows.training.method import parameterization
from flows.workspace.workspace import Workspace
from lineage import Member, MergeStateRecord

if TYPE_CHECKING:
    from sift_core import Kind, Mean, Weights, WeightsWriter
    from sift_core.serving_blocks import Recipient


@dataclass(frozen=True)
class ServedDigests:
    """`weights_sha256` of what a merge state serves."""

    anyone: str
    """θ0 + S/T."""
    members: str
    """What members are served, before their masks: θ0 + S/C, or the same (`member_mean`)."""

    @classmethod
    def of(cls, found: Mapping[Mean, str]) -> ServedDigests:
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
    digest = sift_core.WeightsDigest(kind_of(workspace, record).shapes)
    _serve_one(workspace, record, members, member, digest)
    return digest.sha256


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
    with _model_folder(workspace, folder, kind_of(workspace, record)) as writer:
        _serve_one(workspace, record, members, member, writer)


def _serve_one(
    workspace: Workspace,
    record: MergeStateRecord,
    members: int,
    member: Member | None,
    recipient: Recipient,
) -> None:
    """Hand over what one member is served, under their mask, or what anyone is."""
    kind, state = kind_of(workspace, record), stored_state(workspace, record, members)
    mask = None if member is None else stored_mask(workspace, member)
    mean = "all" if member is None else workspace.settings.exactness.member_mean
    sift_core.serve(kind, state, _start(workspace, kind), {mean: recipient}, mask)


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
        sift_core.add_adapter(workspace.base, scratch / "adapter", labels, scratch / "whole")
        shutil.copytree(scratch / "whole", folder, dirs_exist_ok=True)


def adapters_as_drawn(workspace: Workspace, record: MergeStateRecord, folder: Path) -> bool:
    """Whether every frozen A in a folder of adapters is the drawn one; True of full weights."""
    if workspace.settings.finetune.adapter is None:
        return True
    kind, found = kind_of(workspace, record), sift_core.StoredWeights(folder)
    drawn = sift_core.frozen_projections(
        sift_core.StoredWeights(workspace.base), kind, workspace.settings.exactness.sign_seed
    )
    import torch  # adapters alone are compared, and torch takes a second to import

    return all(name in found and torch.equal(found[name], a) for name, a in drawn.items())


@contextmanager
def _model_folder(workspace: Workspace, folder: Path, kind: Kind) -> Iterator[WeightsWriter]:
    """The base's own folder with other bytes in the trained tensors; of adapters, PEFT's.

    So the same weights give the same bytes; a certificate names each file.
    """
    settings, chosen = workspace.settings, parameterization(workspace.settings)
    if isinstance(chosen, sift_core.Adapter):
        named = hub_id(settings.base), commit(workspace)
        with sift_core.adapter_folder(
            folder, workspace.base, settings.base.labels, chosen, kind, *named
        ) as writer:
            yield writer
        return
    weights = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(workspace.base, folder, ignore=weights, dirs_exist_ok=True)
    with sift_core.model_folder(folder, sift_core.StoredWeights(workspace.base), kind) as writer:
        yield writer


def _start(workspace: Workspace, kind: Kind) -> Weights:
    """θ0 of what is merged."""
    return sift_core.start(sift_core.StoredWeights(workspace.base), kind.shapes)


def _means(workspace: Workspace) -> tuple[Mean, ...]:
    """Those that a model version needs."""
    return ("all", "counted") if workspace.settings.exactness.member_mean == "counted" else ("all",)
