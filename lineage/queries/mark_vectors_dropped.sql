UPDATE task_vector
SET dropped_at = coalesce(dropped_at, $at)
WHERE run_id IN (SELECT unnest(from_json_strict($runs, '["VARCHAR"]')))
RETURNING run_id
