SELECT dataset_version.*
FROM dataset_version
JOIN merge_members
    ON merge_members.contributor_key = dataset_version.contributor_key
    AND merge_members.dataset_sha256 = dataset_version.sha256
WHERE merge_members.state_seq = $state_seq
ORDER BY merge_members.contributor_key
