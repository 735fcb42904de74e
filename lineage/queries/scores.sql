SELECT * FROM evaluation
WHERE weights_sha256 = $weights_sha256
    AND settings_sha256 = $settings_sha256
    AND list_contains(CAST($datasets AS VARCHAR[]), dataset_sha256)
ORDER BY state_seq, contributor_key, setting, split, metric
