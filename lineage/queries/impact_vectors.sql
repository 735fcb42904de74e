SELECT * FROM task_vector
WHERE contributor_key = $contributor_key
ORDER BY created_at, run_id
