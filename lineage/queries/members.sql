SELECT
    contributor_key, external_id, run_id, vector_sha256, mask_sha256, vector_md5, mask_md5
FROM merge_members
JOIN task_vector USING (run_id, contributor_key, vector_sha256, mask_sha256)
WHERE state_seq = $state_seq
ORDER BY contributor_key
