"""The audit of an opt-out: what left, asked of the model after it and of one that never had it.

It runs while the leaver's rows are still there, after the removal and before the purge. The
reference is made without the removal: the merge of who stays, from their vectors alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from statistics import fmean

from flows.data.canaries import answers_of
from flows.data.datasets import Dataset
from flows.data.rows import to_example
from flows.erasure import results
from flows.errors import FlowError
from flows.models.merge import merged_afresh
from flows.models.verify import are_vectors_kept
from flows.models.weights import served_weights, weights_to_score
from flows.progress import tracked
from flows.training.base_model import scoring_base
from flows.training.readable_rows import encode_readable
from flows.workspace.settings import RemovalAuditSettings
from flows.workspace.workspace import Workspace
from lineage import MergeStateRecord
from sift_core import (
    AuditRows,
    BaseModel,
    Chat,
    Encoded,
    Example,
    LeftOut,
    Relearning,
    RemovalAudit,
    audit_removal,
)
from sift_core.removal_audit import EXPOSURE, REPHRASED
from sift_core.serving import Weights


class RemovalAuditError(FlowError):
    """Something can tell the model after a removal from one that never saw who left."""


def audit_opt_outs(
    workspace: Workspace, state: MergeStateRecord, left: Sequence[Dataset]
) -> list[RemovalAudit]:
    """Ask what left, each for itself, of the current state and of the reference.

    A dataset here holds what is withdrawn as `train`, and rows of the same contributor that trained
    nothing as `test`. Raises MissingReferenceError where vectors of who stays are not kept.
    """
    if not left:
        return []
    base = scoring_base(workspace)
    with workspace.lineage.reader() as reader:
        members = len(reader.members(state.state_seq))
    after = served_weights(workspace, state, base.trainable, members)
    attack = _relearning(workspace.settings.removal_audit)
    with _reference(workspace, state, base) as reference:
        return [
            audit_removal(base, after, reference, audit_rows(workspace, base, rows), attack)
            for rows in tracked("Auditing the removal", left, len(left))
        ]


def require_passed(audit: RemovalAudit, request_id: str) -> None:
    """Raise RemovalAuditError, with the probes that failed, unless the audit passed.

    It concerns all who leave together: the model that differs from its reference is one for all.
    """
    if not audit.passed:
        failed = "; ".join(f"{p.name}: off by {p.difference:.3g}" for p in audit.failed)
        raise RemovalAuditError(
            f"The model after {request_id} can be told from one that never saw who left: {failed}.",
            remedy="nothing was destroyed. `sift verify` says which bits differ; if it passes, the "
            "served weights are not made alike twice on this machine, and the request should run "
            "on another. It goes on from here when `sift opt-out run` is called again.",
        )


def audit_rows(workspace: Workspace, base: BaseModel, left: Dataset) -> AuditRows:
    """What the probes look at, encoded; rows that the base model cannot read are left out."""
    left_out: list[LeftOut] = []
    readable = partial(encode_readable, workspace, base)

    def encode(probe: str, examples: Sequence[Example]) -> Encoded:
        encoded, unread = readable(examples)
        left_out.extend(LeftOut(probe, rows, why) for why, rows in unread.items())
        return encoded

    forgotten = [to_example(row) for row in left.train]
    canaries = [every for row in forgotten if (every := answers_of(row, base.labels))]
    whole = [encoded for encoded, unread in map(readable, canaries) if not unread]
    if len(whole) < len(canaries):
        left_out.append(LeftOut(EXPOSURE, len(canaries) - len(whole), "an answer cannot be read"))
    return AuditRows(
        encode("all about what is forgotten", forgotten),
        encode("membership inference, held-out rows", [to_example(row) for row in left.test]),
        encode(REPHRASED, [in_other_words(example) for example in forgotten]),
        whole,
        left_out,
    )


def in_other_words(example: Example) -> Example:
    """The same question, put differently; the answer stays.

    Wrapping the words is a weak paraphrase, and the same for every row and model.
    """
    if not isinstance(example, Chat):
        return replace(example, text=f"in other words : {example.text.lower()}")
    *before, asked, answer = example.messages
    words = f"Put differently, and answer briefly: {asked.get('content', '')}"
    return replace(example, messages=(*before, {**asked, "content": words}, answer))


def told(audit: RemovalAudit) -> results.Audit:
    """For lineage and the report: both models side by side.

    Of numbers by row the mean alone: what the model thinks of single rows goes with the rows.
    """
    return results.Audit(
        compared="two-sided with the merge of who stays, which never saw the leaver",
        tolerance=audit.tolerance,
        passed=audit.passed,
        probes=[
            results.Probe(
                name=probe.name,
                points=len(probe.model),
                model=_told(probe.model, probe.is_curve),
                reference=_told(probe.reference, probe.is_curve),
                difference=probe.difference,
                passed=probe not in audit.failed,
            )
            for probe in audit.probes
        ],
        left_out=[results.LeftOut(**asdict(left)) for left in audit.left_out],
    )


def _told(values: tuple[float, ...], is_curve: bool) -> list[float] | float:
    return list(values) if is_curve else fmean(values)


@contextmanager
def _reference(
    workspace: Workspace, state: MergeStateRecord, base: BaseModel
) -> Iterator[Weights | None]:
    with workspace.lineage.reader() as reader:
        kept = are_vectors_kept(workspace, reader.members(state.state_seq))
    if not kept:
        yield None
        return
    with workspace.scratch("reference") as folder:
        stored, kind = merged_afresh(workspace, state, folder)
        yield weights_to_score(workspace, kind, stored, base.trainable)


def _relearning(settings: RemovalAuditSettings) -> Relearning:
    return Relearning(settings.relearning_steps, settings.relearning_rate)
