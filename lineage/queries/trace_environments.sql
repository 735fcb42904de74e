SELECT * FROM environment
WHERE environment_id IN (
    SELECT environment_id
    FROM finetuning_run
    JOIN merge_members USING (run_id)
    WHERE merge_members.state_seq = $state_seq
)
