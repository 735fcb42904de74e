SELECT run_id, coalesce(destroyed_at, $at) AS destroyed_at
FROM task_vector
WHERE run_id = $run_id
