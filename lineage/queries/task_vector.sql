SELECT * FROM task_vector WHERE run_id = $run_id
