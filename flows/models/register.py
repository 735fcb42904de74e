"""A merge state becomes a registered model version, then the champion, then a commit."""

import logging
from datetime import UTC, datetime
from pathlib import Path

from flows.erasure.tombstones.places import require_nobody_back
from flows.errors import FlowError, UsageError
from flows.evidence.anchors import with_anchor
from flows.integrations.dvc.settings import last_pushed_to, note_pushed_to
from flows.integrations.mlflow.card import MaskRef, ModelCard
from flows.logging import event
from flows.models.weights import save_model, served_sha256
from flows.training.base_model import base_id, require_base
from flows.workspace.texts import (
    MAX_NAME_LENGTH,
    MAX_REASON_LENGTH,
    login_name,
    require_nameless,
    require_text,
)
from flows.workspace.workspace import Workspace
from lineage import Member, ModelVersion
from lineage import MergeState as StateRecord

_IN_GIT = (
    "params.yaml",
    "dvc.yaml",
    "dvc.lock",
    "prefect.yaml",
    "base.json",
    "data.dvc",
    "metrics.json",
    "plots/quality.csv",
    ".dvc/config",
)


def register(workspace: Workspace, state: StateRecord, metrics: dict[str, float]) -> ModelVersion:
    """Register the served weights of a state in MLflow and in lineage; not champion yet.

    The artifact is the plain folder of the unmasked model and a card that names masks by digest.
    Called again for the same state, it finds the version it made; one that MLflow has lost, it
    makes again under another number.
    """
    with workspace.lineage.reader() as reader:
        require_same_name(workspace)
        members = reader.members(state.state_seq)
        versions = reader.model_versions()
    known = [row for row in versions if row.state_seq == state.state_seq]
    if known and known[-1].version in workspace.mlflow.versions():
        return known[-1]
    require_base(workspace)
    with workspace.scratch("served") as folder:
        sha256 = save_model(workspace, folder, state, len(members))
        card = _card(workspace, state, members, sha256)
        last = max((row.version for row in versions), default=0)
        registered = workspace.mlflow.register(folder, card, metrics, {}, after=last)
    version = ModelVersion(
        name=workspace.mlflow.name,
        version=registered.version,
        state_seq=state.state_seq,
        served_sha256=card.served_sha256,
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


def promote(workspace: Workspace, version: ModelVersion) -> None:
    """Make a verified version the champion, in MLflow and in lineage."""
    workspace.mlflow.set_champion(version.version)
    with workspace.lineage.writer() as recorder:
        recorder.set_champion(version.name, version.version, datetime.now(UTC))


def commit(workspace: Workspace, message: str) -> str:
    """Record the workspace in DVC, push it to the remote, and commit its digests to git.

    The commit names the last entry of the audit log. Returns the commit; with nothing new, it is
    the last one.
    """
    _track(workspace)
    push(workspace)
    return _commit_digests(workspace, message)


def record(workspace: Workspace, message: str) -> str:
    """Do what `commit` does and leave the remote for `push`: it may be out of reach. The commit."""
    _track(workspace)
    return _commit_digests(workspace, message)


def push(workspace: Workspace) -> None:
    """Copy what the remote lacks to it.

    Raises DvcError where it cannot be reached, or where the same remote was pushed to before and is
    empty now: a disk that is not mounted must not pass for a remote that holds nothing. Raises
    ForeignPlaceError where the remote is another workspace's.
    """
    remote = workspace.dvc.remote_url()
    known = last_pushed_to(workspace.root) == remote
    if known:
        workspace.dvc.require_filled_remote()
    workspace.dvc.require_own_remote(workspace.identity)
    workspace.dvc.push()
    if not known:
        note_pushed_to(workspace.root, remote)


def _track(workspace: Workspace) -> None:
    _mend(workspace)
    workspace.dvc.add("data")
    workspace.dvc.commit_stages()


def _mend(workspace: Workspace) -> None:
    """Put the record back as of the last commit where a killed process cut it off.

    What was new in it is recorded again by whoever calls this.
    """
    for name in workspace.dvc.mend():
        event("dvc.record_mended", level=logging.WARNING, found=f"{name} was cut off")
        if not workspace.git.restore(name):
            (workspace.root / name).unlink()


def _commit_digests(workspace: Workspace, message: str) -> str:
    workspace.git.add([name for name in _IN_GIT if (workspace.root / name).is_file()])
    return workspace.git.commit(with_anchor(workspace, message))


def export(
    workspace: Workspace,
    folder: Path,
    external_id: str | None,
    recipient: str | None = None,
    purpose: str | None = None,
) -> tuple[Path, str]:
    """Write the champion, masked for one contributor or unmasked, as a `from_pretrained` folder.

    Lineage notes who receives it (None: the login name) and what for, before a byte is written:
    they must be told of a later opt-out. Returns the folder and the SHA-256 of its weights. Raises
    UsageError where the folder is not empty or the contributor is not a member, FlowError where
    nothing is registered or where somebody is in it who had left.
    """
    require_nobody_back(workspace)
    recipient = recipient or login_name()
    require_text("recipient", recipient, MAX_NAME_LENGTH)
    if purpose is not None:
        require_text("purpose", purpose, MAX_REASON_LENGTH)
    with workspace.lineage.reader() as reader:
        champion = reader.champion(workspace.settings.model.name)
        if champion is None:
            raise FlowError("There is no champion yet.", remedy="run `sift build`.")
        names = [row.external_id for row in reader.contributors() if row.external_id]
        state = reader.state(champion.state_seq)
        members = {member.contributor_key: member for member in reader.members(state.state_seq)}
    member = None
    if external_id is not None:
        member = members.get(workspace.key_of(external_id))
        if member is None:
            raise UsageError(
                f"Contributor {external_id!r} is not in version {champion.version}.",
                remedy="leave --contributor out to export the unmasked model; "
                "`sift contributors list` shows who is in.",
            )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty.", remedy="name a new or an empty folder.")
    require_nameless(names, recipient, purpose)
    require_base(workspace)
    sha256 = served_sha256(workspace, state, len(members), member)
    with workspace.lineage.writer() as recorder:
        recorder.disclose(
            recipient=recipient,
            purpose=purpose,
            name=champion.name,
            version=champion.version,
            contributor_key=member.contributor_key if member else None,
            weights_sha256=sha256,
            at=datetime.now(UTC),
        )
    save_model(workspace, folder, state, len(members), member)
    return folder, sha256


def _card(
    workspace: Workspace,
    state: StateRecord,
    members: list[Member],
    served: str,
) -> ModelCard:
    settings = workspace.settings
    return ModelCard(
        name=settings.model.name,
        task=settings.base.task,
        base_id=base_id(workspace),
        workspace=str(workspace.root),
        state_seq=state.state_seq,
        state_sha256=state.state_sha256,
        served_sha256=served,
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
    )
