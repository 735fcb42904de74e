"""What an opt-out leaves behind, asked of the real new model and of the merge of who stays."""

import json
from dataclasses import replace
from typing import Any

import pytest

from flows.data.datasets import Dataset, load_dataset
from flows.erasure import removal_audit
from flows.erasure.removal_audit import (
    RemovalAuditError,
    audit_opt_outs,
    audit_rows,
    in_other_words,
    require_passed,
    told,
)
from flows.erasure.results import as_details
from flows.erasure.status import request_statuses
from flows.erasure.steps import STEPS
from flows.models.merge import read_state
from flows.training.base_model import load_base
from flows.workspace.current_state import current_state
from flows.workspace.workspace import Workspace
from sift_core import Chat, Classification, Text, served_weights
from sift_core.errors import MissingReferenceError
from sift_core.examples import said
from sift_core.serving import Weights
from tests.support.workspaces import CONTRIBUTORS, request

LEAVER = "reader 03"


def leaver_s_rows(workspace: Workspace) -> Dataset:
    key = workspace.key_of(LEAVER)
    with workspace.lineage.reader() as reader:
        record = next(row for row in reader.current_datasets() if row.contributor_key == key)
    return load_dataset(workspace, record)


def test_the_state_after_a_removal_cannot_be_told_from_one_that_never_had_the_leaver(
    built: Workspace,
) -> None:
    rows = leaver_s_rows(built)
    leaving = [request(built, LEAVER)]
    for step in ("identified", "approved", "removed"):
        STEPS[step].work(leaving)
    (audit,) = audit_opt_outs(built, current_state(built), [rows])
    require_passed(audit, "opt-out-0001")
    about = as_details(told(audit))
    assert about["passed"] is True
    assert json.loads(json.dumps(about)) == about
    assert about["probes"][2]["points"] == len(rows.train)


def test_a_state_that_still_holds_a_leaver_in_one_tensor_stops_all_who_leave(
    built: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the check of bits before had been fooled; the model would be one for all of them."""
    leaving = [request(built, who) for who in (LEAVER, CONTRIBUTORS[5])]
    before = read_state(built, current_state(built), len(CONTRIBUTORS))
    for step in ("identified", "approved", "removed", "verified"):
        STEPS[step].work(leaving)
    base = load_base(built)
    right = removal_audit.served_weights

    def one_tensor_too_many(*arguments: Any) -> Weights:
        weights = dict(right(*arguments))
        name = max(weights, key=lambda name: int(abs(before.sums[name]).sum()))
        kept = served_weights(base.trainable, before, len(CONTRIBUTORS))
        return {**weights, name: kept[name]}

    monkeypatch.setattr(removal_audit, "served_weights", one_tensor_too_many)
    with pytest.raises(RemovalAuditError, match="can be told from one that never saw"):
        STEPS["evaluated"].work(leaving)
    assert {one.next_step() for one in leaving} == {"evaluated"}
    assert [row.set_aside for row in request_statuses(built)] == [None, None]
    assert built.mlflow.reading.versions() == [1]


def test_where_only_masks_are_kept_there_is_no_reference_and_no_audit(
    masks_only: Workspace,
) -> None:
    with masks_only.lineage.reader() as reader:
        record = reader.current_datasets()[0]
    with pytest.raises(MissingReferenceError):
        audit_opt_outs(masks_only, current_state(masks_only), [load_dataset(masks_only, record)])


def test_rows_are_asked_in_other_words_with_the_same_answer(built: Workspace) -> None:
    review = Classification("A Great film", "good")
    assert in_other_words(review) == replace(review, text="in other words : a great film")
    asked = Chat((said("system", "be kind"), said("user", "Who?"), said("assistant", "me")))
    assert in_other_words(asked) == replace(
        asked,
        messages=(
            said("system", "be kind"),
            said("user", "Put differently, and answer briefly: Who?"),
            said("assistant", "me"),
        ),
    )
    assert in_other_words(Text("It rains.")) == Text("in other words : it rains.")
    rows = leaver_s_rows(built)
    encoded = audit_rows(built, load_base(built), rows)
    assert (len(encoded.forgotten), len(encoded.unseen)) == (len(rows.train), len(rows.test))
    assert len(encoded.rephrased) == len(rows.train)
