CREATE OR REPLACE VIEW finetunings AS
SELECT
    finetuning_run.run_id,
    finetuning_run.contributor_key,
    contributor.external_id,
    finetuning_run.dataset_sha256,
    base_model.source AS base,
    environment.code_version,
    environment.python,
    environment.platform,
    environment.device,
    environment.threads,
    environment.packages,
    finetuning_run.seed,
    finetuning_run.steps,
    finetuning_run.first_loss,
    finetuning_run.last_loss,
    finetuning_run.started_at,
    finetuning_run.finished_at,
    EXISTS (
        SELECT 1 FROM membership
        WHERE membership.run_id = finetuning_run.run_id
            AND membership.contributor_key = finetuning_run.contributor_key
            AND membership.to_seq IS NULL
    ) AS in_merge
FROM finetuning_run
LEFT JOIN contributor USING (contributor_key)
LEFT JOIN base_model USING (base_id)
LEFT JOIN environment USING (environment_id);
COMMENT ON VIEW finetunings IS 'Each finetuning with the base, the code and the machine it ran on.';
COMMENT ON COLUMN finetunings.run_id IS 'the finetuning';
COMMENT ON COLUMN finetunings.contributor_key IS 'whose data it learned from';
COMMENT ON COLUMN finetunings.external_id IS 'the outside id; NULL once erased';
COMMENT ON COLUMN finetunings.dataset_sha256 IS 'which version of that data';
COMMENT ON COLUMN finetunings.base IS 'where the base weights came from';
COMMENT ON COLUMN finetunings.code_version IS 'version of this project';
COMMENT ON COLUMN finetunings.python IS 'version of Python';
COMMENT ON COLUMN finetunings.platform IS 'operating system and processor';
COMMENT ON COLUMN finetunings.device IS 'device it ran on';
COMMENT ON COLUMN finetunings.threads IS 'CPU threads it used';
COMMENT ON COLUMN finetunings.packages IS 'names and versions of the packages that decide the numbers';
COMMENT ON COLUMN finetunings.seed IS 'seed of data order and dropout';
COMMENT ON COLUMN finetunings.steps IS 'optimizer steps';
COMMENT ON COLUMN finetunings.first_loss IS 'loss of the first step';
COMMENT ON COLUMN finetunings.last_loss IS 'loss of the last step';
COMMENT ON COLUMN finetunings.started_at IS 'start';
COMMENT ON COLUMN finetunings.finished_at IS 'end';
COMMENT ON COLUMN finetunings.in_merge IS 'true while its vector is in the current merge';
