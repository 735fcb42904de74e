UPDATE task_vector
SET destroyed_at = coalesce(destroyed_at, $at)
WHERE run_id = $run_id
RETURNING run_id
