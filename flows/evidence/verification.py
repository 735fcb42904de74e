"""Everything that can be checked again: the merge, the champion, the certificates."""

from collections.abc import Collection
from pathlib import Path

import sift_core
from flows.evidence.certificates import check_certificates
from flows.models.checks import ExactnessError, Verification, checked
from flows.models.served_files import adapters_as_drawn, served_digests
from flows.models.verify import Way, verify_state
from flows.models.weights import kind_of
from flows.training.base_model import require_base
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from lineage import MergeStateRecord, ModelVersionRecord
from sift_core import StoredWeights
from sift_core.errors import ModelError


def verify(workspace: Workspace, way: Way = "as set") -> Verification:
    """Check the current merge state, that the champion serves it, and the chain of certificates."""
    found = verify_state(workspace, way)
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
    folder = workspace.mlflow.reading.served_folder(recorded.version)
    if not adapters_as_drawn(workspace, state, folder):
        raise ExactnessError(
            f"The frozen projections in {folder} are not those that exactness.sign_seed draws.",
            remedy="restore the version's folder under mlruns/ from a backup.",
        )
    found, digests = [], served_digests(workspace, state, members)
    for formula, computed, stored, known in (
        (
            "θ0 + S/T",
            digests.anyone,
            registered_sha256(workspace, recorded),
            recorded.served_sha256,
        ),
        (
            _MEMBERS_FORMULA[workspace.settings.exactness.member_mean],
            digests.members,
            registered_members_sha256(workspace, recorded),
            recorded.members_sha256,
        ),
    ):
        if not computed == stored == known:
            raise ExactnessError(
                f"{formula} is {computed[:16]}…, the registered weights are {stored[:16]}…, "
                f"lineage recorded {known[:16]}….",
                remedy="restore the version's folder under mlruns/ from a backup.",
            )
        found.append(f"{formula}, SHA-256 {computed[:16]}…")
    return f"version {served} serves {found[0]}, and members under their masks {found[1]}"


_MEMBERS_FORMULA = {"counted": "θ0 + S/C", "all": "θ0 + S/T"}


def registered_sha256(workspace: Workspace, version: ModelVersionRecord) -> str:
    """`weights_sha256` of what a version's folder holds for anyone. Raises ExactnessError."""
    folder = workspace.mlflow.reading.served_folder(version.version)
    return stored_weights_sha256(folder, _trained(workspace))


def registered_members_sha256(workspace: Workspace, version: ModelVersionRecord) -> str:
    """The same of what it holds for members: the same weights where the mean is over all."""
    if workspace.settings.exactness.member_mean == "all":
        return registered_sha256(workspace, version)
    path = workspace.mlflow.reading.members_file(version.version)
    return stored_weights_sha256(path, _trained(workspace))


def _trained(workspace: Workspace) -> Collection[str]:
    return kind_of(workspace, current_state(workspace)).shapes


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
