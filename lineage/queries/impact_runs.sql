SELECT * FROM finetuning_run
WHERE contributor_key = $contributor_key
ORDER BY started_at, run_id
