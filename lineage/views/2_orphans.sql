-- The store has no foreign keys: DuckDB refuses to update a row that is referred to. This view
-- is the check in their place, and it must be empty.
CREATE OR REPLACE VIEW orphans AS
WITH reference (table_name, column_name, value, missing_in) AS (
    SELECT 'dataset_version', 'contributor_key', contributor_key, 'contributor'
    FROM dataset_version ANTI JOIN contributor USING (contributor_key)
    UNION ALL
    SELECT 'dataset_records', 'sha256', sha256, 'dataset_version'
    FROM dataset_records ANTI JOIN dataset_version USING (contributor_key, sha256)
    UNION ALL
    SELECT 'finetuning_run', 'contributor_key', contributor_key, 'contributor'
    FROM finetuning_run ANTI JOIN contributor USING (contributor_key)
    UNION ALL
    SELECT 'finetuning_run', 'dataset_sha256', dataset_sha256, 'dataset_version'
    FROM finetuning_run ANTI JOIN dataset_version
        ON dataset_version.contributor_key = finetuning_run.contributor_key
        AND dataset_version.sha256 = finetuning_run.dataset_sha256
    UNION ALL
    SELECT 'finetuning_run', 'base_id', base_id, 'base_model'
    FROM finetuning_run ANTI JOIN base_model USING (base_id)
    UNION ALL
    SELECT 'finetuning_run', 'environment_id', environment_id, 'environment'
    FROM finetuning_run ANTI JOIN environment USING (environment_id)
    UNION ALL
    SELECT 'task_vector', 'run_id', run_id, 'finetuning_run'
    FROM task_vector ANTI JOIN finetuning_run USING (run_id, contributor_key)
    UNION ALL
    SELECT DISTINCT 'linear_digest', 'subject', subject, 'task_vector or merge_state'
    FROM linear_digest
    ANTI JOIN task_vector ON task_vector.vector_sha256 = linear_digest.subject
    ANTI JOIN merge_state ON merge_state.state_sha256 = linear_digest.subject
    UNION ALL
    SELECT 'merge_state', 'base_id', base_id, 'base_model'
    FROM merge_state ANTI JOIN base_model USING (base_id)
    UNION ALL
    SELECT 'merge_state', 'parent_seq', CAST(parent_seq AS VARCHAR), 'merge_state'
    FROM merge_state ANTI JOIN merge_state AS parent
        ON parent.state_seq = merge_state.parent_seq
    WHERE parent_seq IS NOT NULL
    UNION ALL
    SELECT 'membership', 'run_id', run_id, 'finetuning_run'
    FROM membership ANTI JOIN finetuning_run USING (run_id, contributor_key)
    UNION ALL
    SELECT 'membership', 'contributor_key', contributor_key, 'contributor'
    FROM membership ANTI JOIN contributor USING (contributor_key)
    UNION ALL
    SELECT 'membership', 'from_seq', CAST(from_seq AS VARCHAR), 'merge_state'
    FROM membership ANTI JOIN merge_state ON merge_state.state_seq = membership.from_seq
    UNION ALL
    SELECT 'membership', 'to_seq', CAST(to_seq AS VARCHAR), 'merge_state'
    FROM membership ANTI JOIN merge_state ON merge_state.state_seq = membership.to_seq
    WHERE to_seq IS NOT NULL
    UNION ALL
    SELECT 'model_version', 'state_seq', CAST(state_seq AS VARCHAR), 'merge_state'
    FROM model_version ANTI JOIN merge_state USING (state_seq)
    UNION ALL
    SELECT 'evaluation', 'state_seq', CAST(state_seq AS VARCHAR), 'merge_state'
    FROM evaluation ANTI JOIN merge_state USING (state_seq)
    UNION ALL
    SELECT 'rebuild', 'state_seq', CAST(state_seq AS VARCHAR), 'merge_state'
    FROM rebuild ANTI JOIN merge_state USING (state_seq)
    UNION ALL
    SELECT 'evaluation', 'contributor_key', contributor_key, 'contributor'
    FROM evaluation ANTI JOIN contributor USING (contributor_key)
    UNION ALL
    SELECT 'opt_out_request', 'contributor_key', contributor_key, 'contributor'
    FROM opt_out_request ANTI JOIN contributor USING (contributor_key)
    UNION ALL
    SELECT 'opt_out_step', 'request_id', request_id, 'opt_out_request'
    FROM opt_out_step ANTI JOIN opt_out_request USING (request_id)
    UNION ALL
    SELECT 'purge_object', 'request_id', request_id, 'opt_out_request'
    FROM purge_object ANTI JOIN opt_out_request USING (request_id)
    UNION ALL
    SELECT 'opt_out_approval', 'request_id', request_id, 'opt_out_request'
    FROM opt_out_approval ANTI JOIN opt_out_request USING (request_id)
    UNION ALL
    SELECT 'opt_out_deadline', 'request_id', request_id, 'opt_out_request'
    FROM opt_out_deadline ANTI JOIN opt_out_request USING (request_id)
    UNION ALL
    SELECT 'opt_out_notice', 'request_id', request_id, 'opt_out_request'
    FROM opt_out_notice ANTI JOIN opt_out_request USING (request_id)
    UNION ALL
    SELECT 'opt_out_set_aside', 'request_id', request_id, 'opt_out_request'
    FROM opt_out_set_aside ANTI JOIN opt_out_request USING (request_id)
    UNION ALL
    SELECT 'legal_hold', 'contributor_key', contributor_key, 'contributor'
    FROM legal_hold ANTI JOIN contributor USING (contributor_key)
    UNION ALL
    SELECT 'consent', 'contributor_key', contributor_key, 'contributor'
    FROM consent ANTI JOIN contributor USING (contributor_key)
    UNION ALL
    SELECT 'disclosure', 'version', CAST(version AS VARCHAR), 'model_version'
    FROM disclosure ANTI JOIN model_version USING (name, version)
)
SELECT table_name, column_name, value, missing_in FROM reference;
COMMENT ON VIEW orphans IS 'References that lead nowhere. Must be empty.';
COMMENT ON COLUMN orphans.table_name IS 'table that refers';
COMMENT ON COLUMN orphans.column_name IS 'its column';
COMMENT ON COLUMN orphans.value IS 'the value that is missing';
COMMENT ON COLUMN orphans.missing_in IS 'table it is missing in';
