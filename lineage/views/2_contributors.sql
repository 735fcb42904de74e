CREATE OR REPLACE VIEW contributors AS
SELECT
    contributor.contributor_key,
    contributor.external_id,
    CASE
        WHEN contributor.erased_at IS NOT NULL THEN 'erased'
        WHEN membership.run_id IS NOT NULL THEN 'member'
        WHEN EXISTS (
            SELECT 1 FROM membership AS past
            WHERE past.contributor_key = contributor.contributor_key
        ) THEN 'left'
        ELSE 'waiting'
    END AS status,
    contributor.added_at,
    contributor.erased_at,
    membership.valid_from AS member_since,
    membership.run_id,
    dataset_version.task,
    dataset_version.train_rows,
    dataset_version.test_rows,
    task_vector.nonzero / task_vector.entries AS density
FROM contributor
LEFT JOIN membership
    ON membership.contributor_key = contributor.contributor_key AND membership.to_seq IS NULL
LEFT JOIN dataset_version
    ON dataset_version.contributor_key = contributor.contributor_key
    AND dataset_version.superseded_at IS NULL
    AND dataset_version.destroyed_at IS NULL
LEFT JOIN task_vector ON task_vector.run_id = membership.run_id;
COMMENT ON VIEW contributors IS 'Each contributor as things stand now.';
COMMENT ON COLUMN contributors.contributor_key IS 'keyed hash of the id';
COMMENT ON COLUMN contributors.external_id IS 'the id as it came from outside; NULL once erased';
COMMENT ON COLUMN contributors.status IS 'waiting: not merged yet; member: in the current merge; left: no longer in it; erased';
COMMENT ON COLUMN contributors.added_at IS 'when taken in';
COMMENT ON COLUMN contributors.erased_at IS 'when the id was erased';
COMMENT ON COLUMN contributors.member_since IS 'since when the present finetuning is in the merge';
COMMENT ON COLUMN contributors.run_id IS 'the finetuning that is in the current merge';
COMMENT ON COLUMN contributors.task IS 'classification or generation';
COMMENT ON COLUMN contributors.train_rows IS 'rows the finetuning sees';
COMMENT ON COLUMN contributors.test_rows IS 'rows held out';
COMMENT ON COLUMN contributors.density IS 'share of the trainable weights this contributor moved';
