SELECT * FROM merge_state
WHERE state_seq IN (
    SELECT state_seq FROM merge_members
    WHERE contributor_key = $contributor_key
        AND list_contains(CAST($datasets AS VARCHAR[]), dataset_sha256)
)
ORDER BY state_seq
