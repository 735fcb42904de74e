"""One version of a model, loaded once: it answers as any of its members, and as anyone else.

A member of the version gets the members' weights where their mask is set and θ0 elsewhere; anyone
else, someone who opted out included, gets the served weights as they are. A member whose mask
cannot be had is an error: serving the member unmasked would look like an answer and be another
model.

There is one model in memory. While a member is served its trained parameters are that member's
tensors, which costs no copy; where a batch of adapters may be mixed, each row has its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any, TypeAlias

import torch
from peft import PeftModel

from flows.integrations.mlflow.card import ModelCard
from flows.serving.loading import Served, trained_names
from flows.serving.members import Members, size_of
from sift_core.adapter_slots import LOADED, Slots, takes_mixed_batches
from sift_core.module_state import ModuleState
from sift_core.serving import Weights

Addressee: TypeAlias = str | None
"""Whom a row is answered for: a member, by key, or None: anyone else."""


@dataclass(frozen=True)
class Asked:
    """A version while rows are asked of it; nobody else asks meanwhile."""

    fresh: Callable[[], Served]
    """Gives the model as it was loaded, whatever it was asked before, with the weights that are
    served; of a mixed batch, with anyone's."""
    mixing: Callable[[Sequence[int]], Any]
    """Lets sequences be answered, while a block runs, as the rows with these numbers are."""

    def logits(self, batch: Mapping[str, torch.Tensor], rows: Sequence[int]) -> torch.Tensor:
        """What the model says to sequences; each is of the row with its number among the asked."""
        model = self.fresh()
        with self.mixing(rows):
            logits: torch.Tensor = model(**batch).logits
        return logits


class LoadedVersion:
    """A version in memory. Safe to call from several threads: one asks at a time."""

    def __init__(
        self, card: ModelCard, model: Served, file: Path | None = None, most: int | None = None
    ) -> None:
        """`file` has the members' weights, where they are not anyone's; see `Members`."""
        self.card = card
        self.model = model
        names = trained_names(model)
        self._live = {names[name]: live for name, live in model.named_parameters()}
        self._anyones = {name: live.data for name, live in self._live.items()}
        self.members = Members(card, self._anyones, file, most)
        self._as_loaded = ModuleState(model)
        self._lock = RLock()

    def addressees(self, external_ids: Sequence[str]) -> list[Addressee]:
        """Whom rows of these contributors are answered for; the empty id is nobody's.

        Raises UsageError for an id outside the grammar, WorkspaceMissingError.
        """
        with self._lock:
            keys = {one: self.members.key_of(one) for one in dict.fromkeys(external_ids)}
        return [keys[one] for one in external_ids]

    def together(
        self, addressees: Sequence[Addressee], at_once: int, *, mixed: bool
    ) -> Iterator[list[int]]:
        """The numbers of the rows that are asked at once, at most so many.

        Where a batch may be mixed they follow each other, with no more members among them than
        are kept in memory; else they are of one addressee.
        """
        if mixed and len(set(addressees)) > 1 and self.mixes and self._at_once > 1:
            yield from self._in_order(addressees, at_once)
            return
        for one in dict.fromkeys(addressees):
            own = [number for number, other in enumerate(addressees) if other == one]
            yield from (own[at : at + at_once] for at in range(0, len(own), at_once))

    def _in_order(self, addressees: Sequence[Addressee], at_once: int) -> Iterator[list[int]]:
        batch: list[int] = []
        members: set[Addressee] = set()
        for number, addressee in enumerate(addressees):
            more = members | {addressee} - {None}
            if len(batch) == at_once or len(more) > self._at_once:
                yield batch
                batch, more = [], {addressee} - {None}
            batch.append(number)
            members = more
        yield batch

    @contextmanager
    def asking(self, addressees: Sequence[Addressee]) -> Iterator[Asked]:
        """Ask for rows of these addressees: of one, or of several where the version `mixes`.

        Raises the errors of `serving`.
        """
        with self._lock:
            own = list(dict.fromkeys(addressees))
            if len(own) == 1:
                with self.holding({} if own[0] is None else self.members.weights(own[0])):
                    yield Asked(self._fresh, lambda _: nullcontext())
                return
            members = [one for one in own if one is not None]
            weights = [self.members.weights(key) for key in members]
            with self._slots.filled(weights) as names:
                named: dict[Addressee, str] = {None: LOADED}
                named.update(zip(members, names, strict=True))
                of_rows = [named[addressee] for addressee in addressees]
                yield Asked(
                    self._fresh,
                    lambda rows: self._slots.mixing([of_rows[number] for number in rows]),
                )

    @cached_property
    def mixes(self) -> bool:
        """Whether a batch may have rows of several addressees: only where adapters are served.

        `takes_mixed_batches` has the rule.
        """
        if not isinstance(self.model, PeftModel):
            return False
        with self._lock:
            self._fresh()
            return takes_mixed_batches(self.model)

    def _fresh(self) -> Served:
        self._as_loaded.put_back()
        return self.model

    @contextmanager
    def holding(self, weights: Weights) -> Iterator[None]:
        """Let parameters of the model be these tensors while the block runs; the others stay."""
        try:
            for name, tensor in weights.items():
                self._live[name].data = tensor
            yield
        finally:
            for name in weights:
                self._live[name].data = self._anyones[name]

    @cached_property
    def _slots(self) -> Slots:
        return Slots(self.model)

    @cached_property
    def _at_once(self) -> int:
        """How many members' adapters are kept in memory."""
        trained = {name: self._anyones[name] for name in self._slots.names}
        return self.members.most // max(size_of(trained), 1)
