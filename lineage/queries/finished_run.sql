SELECT finetuning_run.*
FROM finetuning_run
JOIN task_vector USING (run_id)
WHERE run_id = $run_id AND task_vector.destroyed_at IS NULL
