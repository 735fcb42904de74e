SELECT task_vector.*
FROM task_vector
JOIN finetuning_run USING (run_id, contributor_key)
WHERE contributor_key = $contributor_key
    AND list_contains(CAST($datasets AS VARCHAR[]), dataset_sha256)
ORDER BY created_at, run_id
