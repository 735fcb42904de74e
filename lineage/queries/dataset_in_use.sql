SELECT membership.run_id
FROM membership
JOIN finetuning_run USING (run_id)
WHERE membership.to_seq IS NULL
    AND finetuning_run.contributor_key = $contributor_key
    AND finetuning_run.dataset_sha256 = $sha256
