"""The version that is served now: whatever `champion` names at the moment somebody asks.

The alias is looked up before each request, and once a second where nobody asks. A new champion is
loaded beside the old one and takes its place at once: requests under way end under the version that
they began with, all later ones wait for the new one. So from the moment that an opt-out has made
its version current, nobody who asks is served under the mask of who left.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from flows.errors import FlowError
from flows.integrations.mlflow.card import ModelCard
from flows.serving.errors import AlteredError
from flows.serving.model import SiftModel
from flows.workspace.workspace import Workspace
from sift_core.foreign_errors import border

_RESTORE = "restore the version from a backup, or make another with `sift build`."


class NoChampionError(FlowError):
    """Nothing has been built yet, so nothing is served."""


@dataclass(frozen=True)
class Serving:
    """A version in memory, by its number."""

    number: int
    model: SiftModel


class Champion:
    """Follows the alias of one workspace. Safe to call from several threads."""

    def __init__(self, workspace: Workspace, took: Callable[[int], None]) -> None:
        """`took` is told each version once it is the one that serves."""
        self._workspace = workspace
        self._took = took
        self._serving: Serving | None = None
        self._edition: int | None = None
        self._lock = Lock()

    def current(self, *, anew: bool = False) -> Serving:
        """The champion, loaded, if it is another than before.

        The alias is read where the store has been written to since, or `anew`. Raises
        NoChampionError, AlteredError where it is no version of this workspace's lineage, and what
        loading it raises; the next call tries again.
        """
        reading = self._workspace.mlflow.reading
        with self._lock:
            edition = reading.edition()  # first: what is written meanwhile makes another
            known = edition is not None and edition == self._edition
            if self._serving is None or anew or not known:
                self._serving = self._taken(reading.champion())
                self._edition = edition
            return self._serving

    def _taken(self, number: int | None) -> Serving:
        if number is None:
            raise NoChampionError(
                f"{self._workspace.root} has no champion.",
                remedy="run `sift build`; it is served as soon as it is the champion.",
            )
        if self._serving is not None and self._serving.number == number:
            return self._serving
        serving = self._loaded(number)
        self._took(number)
        self._serving = None
        gc.collect()  # the old one, unless somebody is being answered by it
        return serving

    @property
    def last(self) -> Serving | None:
        """What was served last, without a look at the alias."""
        return self._serving

    def _loaded(self, number: int) -> Serving:
        """A version, by our own code: nothing that lies in a store is run."""
        reading = self._workspace.mlflow.reading
        served, members = reading.served_folder(number), reading.members_file(number)
        with border(f"Version {number} has no card that can be read", _RESTORE):
            card = ModelCard.read(served.parent / "card.json")
        self._require_recorded(number, card)
        model = SiftModel()
        model.load(served, card, members if members.is_file() else None)
        return Serving(number, model)

    def _require_recorded(self, number: int, card: ModelCard) -> None:
        with self._workspace.lineage.reader() as reader:
            known = {row.version: row for row in reader.model_versions()}
        row = known.get(number)
        if row is None or (row.served_sha256, row.members_sha256) != (
            card.served_sha256,
            card.members_sha256,
        ):
            raise AlteredError(
                f"The champion, version {number} of {card.name}, is not what lineage has recorded.",
                remedy="see `sift audit`; `sift build` makes a version of the current state.",
            )
