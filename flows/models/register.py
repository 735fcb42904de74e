"""A merge state becomes a registered model version, then the champion, then a commit."""

from datetime import UTC, datetime

from flows.errors import UsageError
from flows.integrations.mlflow.card import MaskRef, ModelCard
from flows.models.served_files import ServedDigests, save_version
from flows.training.base_model import base_id, commit, hub_id, require_base
from flows.workspace.workspace import Workspace
from lineage import Member, MergeStateRecord, ModelVersionRecord


def register(
    workspace: Workspace, state: MergeStateRecord, metrics: dict[str, float]
) -> ModelVersionRecord:
    """Register the served weights of a state in MLflow and in lineage; not champion yet.

    The artifacts are the plain folder of the unmasked model, the members' weights, and a card that
    names masks by digest.
    Called again for the same state, it finds the version it made; one that MLflow has lost, it
    makes again under another number.
    """
    with workspace.lineage.reader() as reader:
        require_same_name(workspace)
        members = reader.members(state.state_seq)
        versions = reader.model_versions()
    known = [row for row in versions if row.state_seq == state.state_seq]
    if known and known[-1].version in workspace.mlflow.reading.versions():
        return known[-1]
    require_base(workspace)
    with workspace.scratch("version") as folder:
        card = _card(
            workspace, state, members, save_version(workspace, folder, state, len(members))
        )
        last = max((row.version for row in versions), default=0)
        registered = workspace.mlflow.registration.register(folder, card, metrics, {}, after=last)
    version = ModelVersionRecord(
        name=workspace.mlflow.name,
        version=registered.version,
        state_seq=state.state_seq,
        served_sha256=card.served_sha256,
        members_sha256=card.members_sha256,
        mlflow_run_id=registered.run_id,
        mlflow_model_id=registered.model_id,
        registered_at=datetime.now(UTC),
    )
    with workspace.lineage.writer() as recorder:
        recorder.add(version)
    return version


def require_same_name(workspace: Workspace) -> None:
    """Raise UsageError where versions are registered under another name than params.yaml gives.

    They would be out of sight there, and an opt-out must find every one of them.
    """
    name = workspace.settings.model.name
    with workspace.lineage.reader() as reader:
        others = {row.name for row in reader.model_versions()} - {name}
    if others:
        raise UsageError(
            f"model.name is {name!r}, the versions of this workspace are {min(others)!r}.",
            remedy=f"set model.name back to {min(others)!r}; a new name needs a new workspace.",
        )


def promote(workspace: Workspace, version: ModelVersionRecord) -> None:
    """Make a verified version the champion, in MLflow and in lineage."""
    workspace.mlflow.registration.set_champion(version.version)
    with workspace.lineage.writer() as recorder:
        recorder.set_champion(version.name, version.version, datetime.now(UTC))


def _card(
    workspace: Workspace,
    state: MergeStateRecord,
    members: list[Member],
    served: ServedDigests,
) -> ModelCard:
    settings = workspace.settings
    return ModelCard(
        name=settings.model.name,
        task=settings.base.task,
        base_id=base_id(workspace),
        base_model=hub_id(settings.base),
        base_revision=commit(workspace),
        workspace=str(workspace.root),
        state_seq=state.state_seq,
        state_sha256=state.state_sha256,
        served_sha256=served.anyone,
        members_sha256=served.members,
        member_mean=settings.exactness.member_mean,
        members={
            member.contributor_key: MaskRef(
                mask_sha256=member.mask_sha256, mask_md5=member.mask_md5
            )
            for member in members
        },
        sign_seed=settings.exactness.sign_seed,
        grid_bits=settings.exactness.grid_bits,
        labels=list(settings.base.labels),
        max_length=settings.base.max_length,
        too_long=settings.data.too_long,
    )
