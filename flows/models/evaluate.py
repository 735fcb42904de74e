"""How good a merge state is for the contributors it serves, as rows of lineage.

What the same weights were found to be on the same rows is not measured twice: lineage knows it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import sift_core
from flows.data.datasets import load_dataset
from flows.data.rows import to_example
from flows.logging import event
from flows.models.measures import SPLITS
from flows.models.sample import sample
from flows.models.weights import member_weights, members_weights, served_weights
from flows.progress import tracked
from flows.training.base_model import scoring_base
from flows.training.method import reading
from flows.training.readable_rows import encode_readable
from flows.workspace.recording import Recording
from flows.workspace.workspace import Workspace
from lineage import DatasetVersionRecord, EvaluationRecord, Member, MergeStateRecord
from lineage.records import Metric, Setting, Split
from sift_bytes import canonical_json, sha256_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from sift_core import BaseModel, Encoded, Weights

_TOGETHER = 50
"""Contributors whose rows are in memory at a time."""
_HOW = 1
"""Number of the way of scoring: another one, and nothing that was found before is found again."""


def evaluate_state(
    workspace: Workspace,
    state: MergeStateRecord,
    departed: Sequence[DatasetVersionRecord] = (),
    *,
    everybody: bool = False,
    passing_over: Collection[str] = (),
) -> list[EvaluationRecord]:
    """Score a state for `evaluate.members` of its members, or everybody, and record it.

    Base and merged weights and the contributor's own masked weights are each scored on the rows
    that trained the contributor (held in) and on those that did not (held out), of the dataset that
    is in this merge: rows that wait for a build have trained nothing yet. `departed` are the
    datasets of contributors who are leaving: they are served unmasked, like anyone else.
    What was scored before is not scored again, and members `passing_over` (keys) not at all. Rows
    that the base model cannot read are left out: `row_count` says how many were scored. Returns all
    evaluations of this state.
    """
    with workspace.lineage.reader() as reader:
        members = reader.members(state.state_seq)
        known = {(row.contributor_key, row.setting) for row in reader.evaluations(state.state_seq)}
        datasets = {row.contributor_key: row for row in reader.member_datasets(state.state_seq)}
    chosen = members if everybody else sample(members, workspace.settings.evaluate.members)
    asked = [
        _Asked(datasets[member.contributor_key], member)
        for member in chosen
        if member.contributor_key not in passing_over
    ]
    asked += [_Asked(record, None) for record in departed]
    todo = [one for one in asked if any((one.key, own) not in known for own in one.settings)]
    if todo:
        scores = _Scoring(workspace, state, len(members)).of(todo, known)
        total = sum((one.key, own) not in known for one in todo for own in one.settings)
        with Recording(workspace.lineage) as recording:
            for rows in tracked("Evaluating", scores, total):
                recording.add(rows)
    with workspace.lineage.reader() as reader:
        return reader.evaluations(state.state_seq)


@dataclass(frozen=True)
class _Asked:
    """Whose rows are scored: those of a member, or of somebody who leaves."""

    dataset: DatasetVersionRecord
    member: Member | None

    @property
    def key(self) -> str:
        return self.dataset.contributor_key

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Whose weights are scored on them."""
        return ("base", "merged") if self.member is None else ("base", "merged", "masked")


class _Weighed:
    """Weights and what they hash to."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    @cached_property
    def sha256(self) -> str:
        return sift_core.weights_sha256(self.weights)


class _Scoring:
    """Scores one merge state, setting by setting: the weights that all share are loaded once."""

    def __init__(self, workspace: Workspace, state: MergeStateRecord, members: int) -> None:
        self._workspace, self._state = workspace, state
        self._base = scoring_base(workspace)
        self._settings_sha256 = _settings_sha256(workspace, self._base)
        start = self._base.trainable
        self._of_anyone: dict[Setting, _Weighed] = {
            "base": _Weighed(start),
            "merged": _Weighed(served_weights(workspace, state, start, members)),
        }
        self._shared = members_weights(workspace, state, start, members)

    def of(
        self, asked: Sequence[_Asked], known: Collection[tuple[str, Setting]]
    ) -> Iterator[list[EvaluationRecord]]:
        """The evaluations of each that are not `known` yet: one contributor's by one setting."""
        for start in range(0, len(asked), _TOGETHER):
            some = asked[start : start + _TOGETHER]
            rows = {one.key: _Rows(self._workspace, self._base, one.dataset) for one in some}
            for setting, weighed in self._of_anyone.items():
                todo = [rows[one.key] for one in some if (one.key, setting) not in known]
                if todo:  # else the weights need not even be hashed
                    yield from self._score(setting, weighed, todo)
            for member in (one.member for one in some if one.member is not None):
                if (member.contributor_key, "masked") not in known:
                    own = _Weighed(self._masked(member))
                    yield from self._score("masked", own, [rows[member.contributor_key]])

    def _masked(self, member: Member) -> Weights:
        return member_weights(self._workspace, self._base.trainable, self._shared, member)

    def _score(
        self, setting: Setting, weighed: _Weighed, rows: Sequence[_Rows]
    ) -> Iterator[list[EvaluationRecord]]:
        found = self._found(weighed, rows)
        unknown = []
        for one in rows:
            if again := found.get(one.dataset.sha256):
                yield [self._of_this_state(row, setting, one.dataset) for row in again]
            else:
                unknown.append(one)
        if unknown:
            with self._base.serving(weighed.weights) as model:
                for one in unknown:
                    yield self._measured(model, setting, weighed, one)

    def _found(self, weighed: _Weighed, rows: Sequence[_Rows]) -> dict[str, list[EvaluationRecord]]:
        """What these weights were found to be before, by dataset."""
        datasets = [one.dataset.sha256 for one in rows]
        with self._workspace.lineage.reader() as reader:
            known = reader.scores(weighed.sha256, self._settings_sha256, datasets)
        found: dict[str, dict[tuple[Split, Metric], EvaluationRecord]] = defaultdict(dict)
        for row in known:
            found[cast(str, row.dataset_sha256)][row.split, row.metric] = row
        return {dataset: list(own.values()) for dataset, own in found.items()}

    def _of_this_state(
        self, row: EvaluationRecord, setting: Setting, dataset: DatasetVersionRecord
    ) -> EvaluationRecord:
        return row.model_copy(
            update={
                "state_seq": self._state.state_seq,
                "contributor_key": dataset.contributor_key,
                "setting": setting,
            }
        )

    def _measured(
        self, model: PreTrainedModel, setting: Setting, weighed: _Weighed, rows: _Rows
    ) -> list[EvaluationRecord]:
        return [
            EvaluationRecord(
                state_seq=self._state.state_seq,
                contributor_key=rows.dataset.contributor_key,
                setting=setting,
                split=split,
                metric=score.metric,
                value=score.value,
                row_count=score.rows,
                evaluated_at=datetime.now(UTC),
                weights_sha256=weighed.sha256,
                dataset_sha256=rows.dataset.sha256,
                settings_sha256=self._settings_sha256,
            )
            for split, examples in rows.by_split.items()
            for score in sift_core.evaluate(model, examples, self._base.scored_at_once)
        ]


class _Rows:
    """One contributor's rows, read and encoded when they are first scored."""

    def __init__(
        self, workspace: Workspace, base: BaseModel, dataset: DatasetVersionRecord
    ) -> None:
        self._workspace, self._base, self.dataset = workspace, base, dataset

    @cached_property
    def by_split(self) -> Mapping[Split, Encoded]:
        """The rows that can be read, of each split that has one."""
        whole = load_dataset(self._workspace, self.dataset)
        found = {
            split: self._encoded(split, own)
            for split, own in zip(SPLITS, (whole.train, whole.test), strict=True)
        }
        return {split: examples for split, examples in found.items() if examples.records}

    def _encoded(self, split: Split, rows: Sequence[dict[str, Any]]) -> Encoded:
        examples, unread = encode_readable(
            self._workspace, self._base, [to_example(row) for row in rows]
        )
        if unread:
            event(
                "evaluation.rows_left_out",
                level=logging.WARNING,
                contributors=[self.dataset.contributor_key],
                count=unread.total(),
                found=f"{split}: {'; '.join(unread)}",
            )
        return examples


def _settings_sha256(workspace: Workspace, base: BaseModel) -> str:
    """Of all that a score depends on beside trained weights and rows."""
    settings = workspace.settings
    depends = {
        "how": _HOW,
        "base_id": base.base_id,
        "reading": asdict(reading(settings.method)),
        "scored_at_once": base.scored_at_once,
        "device": settings.finetune.device,
        "threads": settings.finetune.threads,
    }
    return sha256_of(canonical_json(depends).encode())
