"""Taking the champion out: a folder for somebody else, and a note of who has it."""

from datetime import UTC, datetime
from pathlib import Path

from flows.erasure.tombstones.places import require_nobody_back
from flows.errors import FlowError, UsageError
from flows.models.served_files import export_sha256, save_export, save_merged
from flows.training.base_model import require_base
from flows.workspace.texts import (
    MAX_NAME_LENGTH,
    MAX_REASON_LENGTH,
    login_name,
    require_nameless,
    require_text,
)
from flows.workspace.workspace import Workspace


def export(
    workspace: Workspace,
    folder: Path,
    external_id: str | None,
    recipient: str | None = None,
    purpose: str | None = None,
    *,
    merged: bool = False,
) -> tuple[Path, str]:
    """Write the champion, masked for one contributor or unmasked, as a folder that others load.

    That is a `from_pretrained` folder, or PEFT's of an adapter; `merged` adds the adapter to the
    base model's weights.

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
    if merged and workspace.settings.finetune.adapter is None:
        raise UsageError(
            "This workspace trains no adapters: what is exported has all weights in it.",
            remedy="leave --merged out.",
        )
    require_nameless(names, recipient, purpose)
    require_base(workspace)
    sha256 = export_sha256(workspace, state, len(members), member)
    with workspace.lineage.writer() as recorder:
        recorder.process.disclose(
            recipient=recipient,
            purpose=purpose,
            name=champion.name,
            version=champion.version,
            contributor_key=member.contributor_key if member else None,
            weights_sha256=sha256,
            at=datetime.now(UTC),
        )
    save = save_merged if merged else save_export
    save(workspace, folder, state, len(members), member)
    return folder, sha256
