SELECT
    contributor_key,
    run_id,
    dataset_sha256,
    vector_sha256,
    mask_sha256,
    list(CAST(linear_digest.value AS VARCHAR) ORDER BY linear_digest.lane) AS linear_digest
FROM merge_members
JOIN linear_digest ON linear_digest.subject = vector_sha256
WHERE state_seq = $state_seq
GROUP BY ALL
ORDER BY contributor_key
