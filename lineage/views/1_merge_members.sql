CREATE OR REPLACE VIEW merge_members AS
SELECT
    merge_state.state_seq,
    merge_state.state_sha256,
    membership.contributor_key,
    contributor.external_id,
    membership.run_id,
    finetuning_run.dataset_sha256,
    task_vector.vector_sha256,
    task_vector.mask_sha256,
    membership.valid_from,
    membership.valid_to
FROM merge_state
JOIN membership
    ON membership.from_seq <= merge_state.state_seq
    AND (membership.to_seq IS NULL OR merge_state.state_seq < membership.to_seq)
LEFT JOIN contributor ON contributor.contributor_key = membership.contributor_key
LEFT JOIN finetuning_run ON finetuning_run.run_id = membership.run_id
LEFT JOIN task_vector ON task_vector.run_id = membership.run_id;
COMMENT ON VIEW merge_members IS 'Each merge state with each of its members.';
COMMENT ON COLUMN merge_members.state_seq IS 'number of the merge state';
COMMENT ON COLUMN merge_members.state_sha256 IS 'SHA-256 of its file';
COMMENT ON COLUMN merge_members.contributor_key IS 'the member';
COMMENT ON COLUMN merge_members.external_id IS 'its outside id; NULL once erased';
COMMENT ON COLUMN merge_members.run_id IS 'the finetuning whose vector is in the sum';
COMMENT ON COLUMN merge_members.dataset_sha256 IS 'the data it learned from';
COMMENT ON COLUMN merge_members.vector_sha256 IS 'SHA-256 of the magnitudes file';
COMMENT ON COLUMN merge_members.mask_sha256 IS 'SHA-256 of the mask file';
COMMENT ON COLUMN merge_members.valid_from IS 'when this finetuning came into the merge';
COMMENT ON COLUMN merge_members.valid_to IS 'when it went out; NULL while it is in';
