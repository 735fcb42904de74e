SELECT environment_id,
    CAST(NULL AS VARCHAR) AS code_version, CAST(NULL AS VARCHAR) AS python,
    CAST(NULL AS VARCHAR) AS platform, CAST(NULL AS VARCHAR) AS device,
    CAST(NULL AS INTEGER) AS threads, CAST(NULL AS JSON) AS packages, $at AS forgotten_at
FROM environment
WHERE forgotten_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM finetuning_run
    LEFT JOIN task_vector USING (run_id)
    WHERE finetuning_run.environment_id = environment.environment_id
        AND task_vector.destroyed_at IS NULL
)
