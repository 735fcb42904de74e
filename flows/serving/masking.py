"""From a contributor's id to the model that serves them.

A member of the version gets w where their mask is set and θ0 elsewhere; anyone else, someone who
opted out included, gets the served weights w as they are. A member whose mask cannot be had is an
error: serving the member unmasked would look like an answer and be another model.
"""

import copy
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

import torch
from safetensors.torch import load_file

from flows.hashing import artifact_name
from flows.integrations.mlflow.card import MaskRef, ModelCard
from flows.serving.errors import AlteredError, MaskMissingError, WorkspaceMissingError
from flows.serving.loading import Served, base_folder, trained_names, trained_parameters
from flows.workspace.here import WORKSPACE_VARIABLE
from flows.workspace.identity import contributor_key, read_secret
from sift_bytes import sha256_of
from sift_core import Mask, StoredWeights, masked_weights, start, weights_sha256
from sift_core.foreign_errors import border
from sift_core.module_state import ModuleState
from sift_core.serving import Weights

KEPT_MODELS = 2
_RELOAD = "load the champion (`models:/<name>@champion`): this version may have been superseded."


class MaskedModels:
    """The models of one version: the unmasked one, and the last few masked ones.

    A masked model shares every frozen parameter and every buffer with the unmasked one, so it costs
    as much memory as the parameters under its mask. Safe to call from several threads; one asks at
    a time, since what a model is asked may leave a trace in it.
    """

    def __init__(
        self,
        card: ModelCard,
        unmasked: Served,
        shared: Path | None = None,
        kept: int = KEPT_MODELS,
    ) -> None:
        """`shared` is the file of the members' weights, where they are not anyone's."""
        self.card = card
        self._shared_file = shared
        self._shared: Weights | None = None
        self.unmasked = unmasked
        self._untouched = ModuleState(unmasked)
        self._kept = kept
        self._masked: OrderedDict[str, tuple[Served, ModuleState]] = OrderedDict()
        self._base: StoredWeights | None = None
        self._lock = RLock()

    @contextmanager
    def asking(self, external_id: str) -> Iterator[Callable[[], Served]]:
        """Ask the model that serves a contributor; nobody else asks meanwhile.

        Each call of what this gives is the model as it was loaded: an answer does not depend on
        what was asked before. Raises the errors of `serving`.
        """
        with self._lock:
            model = self.serving(external_id)
            state = next(
                (own for masked, own in self._masked.values() if masked is model), self._untouched
            )

            def fresh() -> Served:
                state.put_back()
                return model

            try:
                yield fresh
            finally:
                state.put_back()

    def serving(self, external_id: str) -> Served:
        """Return the model that serves a contributor; the empty id is nobody.

        Raises UsageError for an id outside the grammar, and the errors of `flows.serving.errors`.
        """
        if not external_id:
            return self.unmasked
        key = contributor_key(read_secret(self._workspace()), external_id)
        reference = self.card.members.get(key)
        if reference is None:
            return self.unmasked
        with self._lock:
            if key not in self._masked:
                masked = self._build(key, reference)
                self._masked[key] = (masked, ModuleState(masked))
            self._masked.move_to_end(key)
            while len(self._masked) > self._kept:
                self._masked.popitem(last=False)
            return self._masked[key][0]

    def _workspace(self) -> Path:
        """Return the workspace: SIFT_WORKSPACE, else the folder the version was registered from."""
        folder = Path(os.environ.get(WORKSPACE_VARIABLE) or self.card.workspace)
        if not (folder / ".sift").is_dir():
            raise WorkspaceMissingError(
                f"{folder} is not the workspace of {self.card.name}: it has no .sift folder.",
                remedy=f"set {WORKSPACE_VARIABLE} to the workspace, or predict without "
                "`contributor` for the unmasked model.",
            )
        return folder

    def _build(self, key: str, reference: MaskRef) -> Served:
        mask = find_mask(self._workspace(), key, reference)
        return masked_copy(self.unmasked, self._members_weights(mask), self._start(mask), mask)

    def _members_weights(self, mask: Mask) -> Weights:
        """What all members are served, each under their mask."""
        if self._shared is None:
            live = trained_parameters(self.unmasked)
            anyones = {name: live[name] for name in mask.bits if name in live}
            self._require_registered("served weights", anyones, self.card.served_sha256)
            shared = anyones if self.card.member_mean == "all" else self._counted()
            self._require_registered("members' weights", shared, self.card.members_sha256)
            self._shared = shared
        return self._shared

    def _counted(self) -> Weights:
        if self._shared_file is None:
            raise AlteredError(
                f"The version of {self.card.name} has no members' weights.",
                remedy="register the merge state again with `sift build`.",
            )
        with border(f"{self._shared_file} does not load", "restore the version from a backup."):
            return load_file(self._shared_file)

    def _require_registered(self, what: str, found: Weights, sha256: str) -> None:
        if weights_sha256(found) != sha256:
            raise AlteredError(
                f"The {what} of {self.card.name} state {self.card.state_seq} are not the ones that "
                "were registered.",
                remedy="register the merge state again with `sift build`.",
            )

    def _start(self, mask: Mask) -> Weights:
        """θ0 of what the mask covers."""
        self._workspace()
        if self._base is None:
            self._base = StoredWeights(base_folder(self.card))
        return start(self._base, mask.shapes)


def masked_copy(unmasked: Served, shared: Weights, base: Weights, mask: Mask) -> Served:
    """The model with the members' weights where the mask is set and θ0, in `base`, elsewhere.

    All that no mask covers it shares with `unmasked`. Raises what a module of an architecture
    raises that cannot be copied.
    """
    weights = masked_weights({name: base[name] for name in mask.bits}, shared, mask)
    live = dict(unmasked.named_parameters())
    names = {
        id(live[own]): name for own, name in trained_names(unmasked).items() if name in weights
    }
    # deepcopy takes what its memo holds instead of copying: new tensors under the mask, the
    # unmasked model's own everywhere else.
    taken: dict[int, object] = {
        id(tensor): torch.nn.Parameter(weights[names[id(tensor)]], requires_grad=False)
        if id(tensor) in names
        else tensor
        for tensor in [*live.values(), *unmasked.buffers()]
    }
    return copy.deepcopy(unmasked, taken)


def find_mask(workspace: Path, key: str, reference: MaskRef) -> Mask:
    """Return the very mask that a version was registered with, from the workspace or its cache.

    The workspace keeps the masks of the current merge; of a superseded version the DVC cache still
    has them by their MD5. Raises MaskMissingError, AlteredError.
    """
    named = workspace / "masks" / artifact_name(key, reference.mask_sha256, ".safetensors")
    found = False
    for path in _places(workspace, named, reference):
        found = True
        data = path.read_bytes()
        if sha256_of(data) == reference.mask_sha256:
            return Mask.from_bytes(data, str(path))
    if found:
        raise AlteredError(
            f"{named} is not the mask that this version was registered with, and the DVC cache "
            "does not have that one.",
            remedy=f"restore it with `dvc pull masks` in the workspace, or {_RELOAD}",
        )
    raise MaskMissingError(
        f"The mask of contributor {key} is neither in {named.parent} nor in the DVC cache.",
        remedy=f"restore it with `dvc pull masks` in the workspace, or {_RELOAD}",
    )


def _places(workspace: Path, named: Path, reference: MaskRef) -> Iterator[Path]:
    if named.is_file():
        yield named
    if (workspace / ".dvc").is_dir():
        from flows.integrations.dvc.repository import Dvc  # a second to import, and rarely needed

        cached = Dvc(workspace).objects.path(reference.mask_md5)
        if cached is not None:
            yield cached
