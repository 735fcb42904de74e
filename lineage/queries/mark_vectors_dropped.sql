SELECT run_id, coalesce(dropped_at, $at) AS dropped_at
FROM task_vector
WHERE run_id IN (SELECT unnest(from_json_strict($runs, '["VARCHAR"]')))
