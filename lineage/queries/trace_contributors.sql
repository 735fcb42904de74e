SELECT * FROM contributor
WHERE contributor_key IN (SELECT contributor_key FROM merge_members WHERE state_seq = $state_seq)
ORDER BY contributor_key
