SELECT * FROM finetuning_run
WHERE contributor_key = $contributor_key
    AND list_contains(CAST($datasets AS VARCHAR[]), dataset_sha256)
ORDER BY started_at, run_id
