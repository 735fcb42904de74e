SELECT * FROM finetuning_run
WHERE run_id IN (SELECT run_id FROM merge_members WHERE state_seq = $state_seq)
