SELECT * FROM finetuning_run WHERE run_id = $run_id
