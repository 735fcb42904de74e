SELECT * FROM evaluation
WHERE state_seq = $state_seq
ORDER BY contributor_key, setting, split, metric
