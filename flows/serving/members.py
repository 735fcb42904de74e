"""What members of one version are served: each the members' weights under a mask of their own.

The files are mapped into memory and hashed once, when the first member asks; a member's weights are
made from them when they are first wanted, and the last ones are kept, in so many bytes and no more.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cachetools import LRUCache

from flows.errors import UsageError
from flows.integrations.mlflow.card import MaskRef, ModelCard
from flows.serving.errors import AlteredError, WorkspaceMissingError
from flows.serving.loading import base_folder, workspace_of
from flows.serving.masks import find_mask
from flows.workspace.here import WORKSPACE_VARIABLE
from flows.workspace.identity import contributor_key, read_secret
from sift_core import Mask, StoredWeights, masked_weights, start, weights_sha256
from sift_core.foreign_errors import border
from sift_core.serving import Weights

KEPT_VARIABLE = "SIFT_KEPT_BYTES"
"""Of the environment: how many bytes of members' weights a served version keeps in memory."""
KEPT_BYTES = 1 << 30


def kept_bytes() -> int:
    """How many bytes of members' weights to keep. Raises UsageError for what is no number."""
    said = os.environ.get(KEPT_VARIABLE)
    if said is None:
        return KEPT_BYTES
    if not (said.isascii() and said.isdigit()):
        raise UsageError(
            f"{KEPT_VARIABLE} is {said!r}, which is no number of bytes.",
            remedy=f"set it to one, such as {KEPT_BYTES}, which holds without it.",
        )
    return int(said)


def size_of(weights: Weights) -> int:
    """How many bytes tensors take."""
    return sum(tensor.numel() * tensor.itemsize for tensor in weights.values())


@dataclass(frozen=True)
class _Sources:
    """What every member's weights are made from, once it is known to be what was registered."""

    start: Weights
    """θ0 of what masks cover."""
    members: Weights
    """The members' weights."""


class Members:
    """The members of a version, and their weights; for one thread at a time."""

    def __init__(
        self, card: ModelCard, anyones: Weights, file: Path | None, most: int | None = None
    ) -> None:
        """`anyones` is what anyone is served, `file` has the members' weights where they differ.

        At most so many bytes are kept; without a word, as many as `kept_bytes` says.
        """
        self._card = card
        self._anyones = anyones
        self._file = file
        self._sources: _Sources | None = None
        self.most = kept_bytes() if most is None else most
        self._kept: LRUCache[str, Weights] = LRUCache(self.most, size_of)

    def key_of(self, external_id: str) -> str | None:
        """The contributor key of a member; None for anyone else, and for the empty id.

        Raises UsageError for an id outside the grammar, WorkspaceMissingError.
        """
        if not external_id:
            return None
        key = contributor_key(read_secret(self._workspace), external_id)
        return key if key in self._card.members else None

    def weights(self, key: str) -> Weights:
        """What a member is served. Raises the errors of `flows.serving.errors`."""
        kept = self._kept.get(key)
        if kept is None:
            kept = self._made(key, self._card.members[key])
            if size_of(kept) <= self.most:
                self._kept[key] = kept
        return kept

    @property
    def kept(self) -> Collection[str]:
        """The keys of those whose weights are in memory."""
        return list(self._kept)

    @property
    def bytes_kept(self) -> int:
        """How many bytes these take."""
        return int(self._kept.currsize)

    @cached_property
    def _workspace(self) -> Path:
        folder = workspace_of(self._card)
        if not (folder / ".sift").is_dir():
            raise WorkspaceMissingError(
                f"{folder} is not the workspace of {self._card.name}: it has no .sift folder.",
                remedy=f"set {WORKSPACE_VARIABLE} to the workspace, or predict without "
                "`contributor` for the unmasked model.",
            )
        return folder

    def _made(self, key: str, reference: MaskRef) -> Weights:
        mask = find_mask(self._workspace, key, reference)
        if self._sources is None:
            self._sources = self._verified(mask)
        return masked_weights(self._sources.start, self._sources.members, mask)

    def _verified(self, mask: Mask) -> _Sources:
        """Open the files, and see that they hold what was registered. Raises AlteredError."""
        anyones = {name: self._anyones[name] for name in mask.bits if name in self._anyones}
        self._require("served weights", anyones, self._card.served_sha256)
        members = anyones if self._card.member_mean == "all" else self._counted()
        self._require("members' weights", members, self._card.members_sha256)
        theta = start(StoredWeights(base_folder(self._card)), mask.shapes)
        return _Sources(dict(theta), members)  # mapped now: a file that is replaced is another

    def _counted(self) -> Weights:
        if self._file is None:
            raise AlteredError(
                f"The version of {self._card.name} has no members' weights.",
                remedy="register the merge state again with `sift build`.",
            )
        with border(f"{self._file} does not load", "restore the version from a backup."):
            return dict(StoredWeights(self._file))

    def _require(self, what: str, found: Weights, sha256: str) -> None:
        if weights_sha256(found) != sha256:
            raise AlteredError(
                f"The {what} of {self._card.name} state {self._card.state_seq} are not the ones "
                "that were registered.",
                remedy="register the merge state again with `sift build`.",
            )
