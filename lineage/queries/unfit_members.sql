SELECT
    incoming_member.contributor_key,
    CASE
        WHEN finetuning_run.run_id IS NULL THEN 'its finetuning run is not recorded for it'
        WHEN finetuning_run.base_id <> $base_id THEN 'its run started from another base model'
        ELSE 'its task vector is not recorded or was destroyed'
    END AS reason
FROM incoming_member
LEFT JOIN finetuning_run USING (contributor_key, run_id)
LEFT JOIN task_vector
    ON task_vector.run_id = incoming_member.run_id
    AND task_vector.contributor_key = incoming_member.contributor_key
    AND task_vector.destroyed_at IS NULL
WHERE finetuning_run.run_id IS NULL
    OR finetuning_run.base_id <> $base_id
    OR task_vector.run_id IS NULL
ORDER BY incoming_member.contributor_key
