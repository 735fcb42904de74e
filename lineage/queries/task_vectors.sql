SELECT * FROM task_vector WHERE destroyed_at IS NULL ORDER BY run_id
