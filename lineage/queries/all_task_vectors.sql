SELECT * FROM task_vector ORDER BY run_id
