CREATE OR REPLACE VIEW merge_changes AS
SELECT change.*, contributor.external_id
FROM (
    SELECT from_seq AS state_seq, 'in' AS change, contributor_key, run_id, valid_from AS changed_at
    FROM membership
    UNION ALL
    SELECT to_seq, 'out', contributor_key, run_id, valid_to
    FROM membership
    WHERE to_seq IS NOT NULL
) AS change
LEFT JOIN contributor USING (contributor_key);
COMMENT ON VIEW merge_changes IS 'Who came into and went out of each merge state, compared with the one before. New data is both.';
COMMENT ON COLUMN merge_changes.state_seq IS 'the merge state in which it shows';
COMMENT ON COLUMN merge_changes.change IS 'in or out';
COMMENT ON COLUMN merge_changes.contributor_key IS 'who';
COMMENT ON COLUMN merge_changes.run_id IS 'the finetuning whose vector was added or taken away';
COMMENT ON COLUMN merge_changes.changed_at IS 'when';
COMMENT ON COLUMN merge_changes.external_id IS 'the outside id; NULL once erased';
