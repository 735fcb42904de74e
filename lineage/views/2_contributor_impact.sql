CREATE OR REPLACE VIEW contributor_impact AS
SELECT
    artifacts.contributor_key,
    contributor.external_id,
    artifacts.kind,
    artifacts.locator,
    artifacts.since,
    artifacts.destroyed_at
FROM (
    SELECT contributor_key, 'dataset' AS kind, sha256 AS locator, added_at AS since, destroyed_at
    FROM dataset_version
    UNION ALL
    SELECT contributor_key, 'finetuning run', run_id, started_at, NULL
    FROM finetuning_run
    UNION ALL
    SELECT
        contributor_key,
        'task vector',
        vector_sha256,
        created_at,
        coalesce(dropped_at, destroyed_at)
    FROM task_vector
    UNION ALL
    SELECT contributor_key, 'mask', mask_sha256, created_at, destroyed_at
    FROM task_vector
    UNION ALL
    SELECT
        merge_members.contributor_key,
        'merge state',
        CAST(merge_state.state_seq AS VARCHAR),
        merge_state.created_at,
        merge_state.destroyed_at
    FROM merge_state
    JOIN merge_members USING (state_seq)
    UNION ALL
    SELECT
        merge_members.contributor_key,
        'model version',
        model_version.name || '/' || model_version.version,
        model_version.registered_at,
        model_version.destroyed_at
    FROM model_version
    JOIN merge_members USING (state_seq)
) AS artifacts
LEFT JOIN contributor USING (contributor_key);
COMMENT ON VIEW contributor_impact IS 'Everything that contains, or was made from, each contributor''s data.';
COMMENT ON COLUMN contributor_impact.contributor_key IS 'whose data';
COMMENT ON COLUMN contributor_impact.external_id IS 'the outside id; NULL once erased';
COMMENT ON COLUMN contributor_impact.kind IS 'dataset, finetuning run, task vector, mask, merge state or model version';
COMMENT ON COLUMN contributor_impact.locator IS 'SHA-256, run id, state number, or model name/version';
COMMENT ON COLUMN contributor_impact.since IS 'when it was made';
COMMENT ON COLUMN contributor_impact.destroyed_at IS 'when its bytes were destroyed; NULL while they exist. A finetuning run is a record only and has no bytes';
