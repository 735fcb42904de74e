UPDATE task_vector
SET dropped_at = NULL
WHERE run_id IN (SELECT unnest(from_json_strict($runs, '["VARCHAR"]')))
RETURNING run_id
