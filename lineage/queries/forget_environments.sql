UPDATE environment
SET code_version = NULL, python = NULL, platform = NULL, device = NULL, threads = NULL,
    packages = NULL, forgotten_at = $at
WHERE forgotten_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM finetuning_run
    LEFT JOIN task_vector USING (run_id)
    WHERE finetuning_run.environment_id = environment.environment_id
        AND task_vector.destroyed_at IS NULL
)
RETURNING environment_id
