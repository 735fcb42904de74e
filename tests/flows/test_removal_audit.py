"""What an opt-out leaves behind, asked of the real new model and of the merge of who stays."""

import json
from dataclasses import replace

import pytest

from flows.base import load_base
from flows.ingest import Dataset, load_dataset
from flows.merging import current_state
from flows.removal_audit import as_details, audit_opt_out, audit_rows, in_other_words
from flows.workspace import Workspace
from sift_core import Classification, Generation
from sift_core.errors import MissingReferenceError
from tests.flows.workspaces import request, work_until

LEAVER = "reader 03"


def leaver_s_rows(place: Workspace) -> Dataset:
    key = place.key_of(LEAVER)
    with place.lineage.reader() as reader:
        record = next(row for row in reader.current_datasets() if row.contributor_key == key)
    return load_dataset(place, record)


@pytest.mark.parametrize("altered", [False, True])
def test_the_state_after_a_removal_cannot_be_told_from_one_that_never_had_the_leaver(
    built: Workspace, altered: bool
) -> None:
    rows = leaver_s_rows(built)
    if not altered:
        work_until(request(built, LEAVER), "verified")
    audit = audit_opt_out(built, current_state(built), rows)
    assert audit.passed
    told = as_details(audit)
    assert told["passed"] is True
    assert json.loads(json.dumps(told)) == told
    assert len(told["probes"][2]["model"]) == len(rows.train)


def test_where_only_masks_are_kept_there_is_no_reference_and_no_audit(
    masks_only: Workspace,
) -> None:
    with masks_only.lineage.reader() as reader:
        record = reader.current_datasets()[0]
    with pytest.raises(MissingReferenceError):
        audit_opt_out(masks_only, current_state(masks_only), load_dataset(masks_only, record))


def test_rows_are_asked_in_other_words_with_the_same_answer(built: Workspace) -> None:
    review = Classification("A Great film", "good")
    assert in_other_words(review) == replace(review, text="in other words : a great film")
    asked = Generation((("system", "be kind"), ("user", "Who?")), "me")
    assert in_other_words(asked) == replace(
        asked,
        turns=(("system", "be kind"), ("user", "Put differently, and answer briefly: Who?")),
    )
    rows = leaver_s_rows(built)
    encoded = audit_rows(built, load_base(built), rows)
    assert (len(encoded.forgotten), len(encoded.unseen)) == (len(rows.train), len(rows.test))
    assert len(encoded.rephrased) == len(rows.train)
