"""Everything that can be checked again: the merge, the champion, the certificates."""

from collections.abc import Collection
from pathlib import Path

import sift_core
from flows.evidence.certificates import check_certificates
from flows.models.verify import ExactnessError, Verification, checked, verify_state
from flows.models.weights import kind_of, served_sha256
from flows.training.base_model import require_base
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from lineage import MergeStateRecord
from sift_core import StoredWeights
from sift_core.errors import ModelError


def verify(workspace: Workspace, *, rederive: bool = False) -> Verification:
    """Check the current merge state, that the champion serves it, and the chain of certificates."""
    found = verify_state(workspace, rederive=rederive)
    champion = checked("champion", lambda: _champion(workspace, current_state(workspace)))
    certificates = checked("certificates", lambda: _certificates(workspace))
    return found.and_also(champion, certificates)


def _champion(workspace: Workspace, state: MergeStateRecord) -> str:
    name = workspace.settings.model.name
    with workspace.lineage.reader() as reader:
        recorded = reader.champion(name)
        members = len(reader.members(state.state_seq))
    served = workspace.mlflow.reading.champion()
    if recorded is None or recorded.version != served or recorded.state_seq != state.state_seq:
        raise ExactnessError(
            f"MLflow serves version {served}, lineage says "
            f"{recorded.version if recorded else None}, the current state is "
            f"{state.state_seq}.",
            remedy="run `sift build` to register the current state.",
        )
    require_base(workspace)
    computed = served_sha256(workspace, state, members)
    folder = workspace.mlflow.reading.served_folder(recorded.version)
    stored = stored_weights_sha256(folder, kind_of(workspace, state).shapes)
    if not computed == stored == recorded.served_sha256:
        raise ExactnessError(
            f"θ0 + S/T is {computed[:16]}…, the registered weights are {stored[:16]}…, lineage "
            f"recorded {recorded.served_sha256[:16]}….",
            remedy="restore the version's folder under mlruns/ from a backup.",
        )
    return f"version {served} serves θ0 + S/T, SHA-256 {computed[:16]}…"


def _certificates(workspace: Workspace) -> str:
    links = check_certificates(workspace)
    if not links:
        return "none yet: no opt-out has ended"
    return f"1 to {len(links)}, signed, in one chain, each as lineage recorded"


def stored_weights_sha256(folder: Path, names: Collection[str]) -> str:
    """The SHA-256 of the weights of these names in a served folder. Raises ExactnessError."""
    try:
        stored = StoredWeights(folder)
    except ModelError as error:
        raise ExactnessError(
            f"the registered weights do not load: {error.facts}",
            remedy="restore the version's folder under mlruns/ from a backup.",
        ) from error
    return sift_core.weights_sha256(stored.only(names))
