-- Not by way of merge_members, which would be made for every state there has been.
CREATE OR REPLACE VIEW model_version_members AS
SELECT
    model_version.name,
    model_version.version,
    model_version.state_seq,
    membership.contributor_key,
    contributor.external_id,
    membership.run_id,
    finetuning_run.dataset_sha256,
    membership.valid_from,
    membership.valid_to,
    model_version.champion_from,
    model_version.champion_to,
    model_version.destroyed_at
FROM model_version
JOIN membership
    ON membership.from_seq <= model_version.state_seq
    AND (membership.to_seq IS NULL OR model_version.state_seq < membership.to_seq)
LEFT JOIN contributor ON contributor.contributor_key = membership.contributor_key
LEFT JOIN finetuning_run ON finetuning_run.run_id = membership.run_id;
COMMENT ON VIEW model_version_members IS 'Each model version with each contributor in it.';
COMMENT ON COLUMN model_version_members.name IS 'registered model';
COMMENT ON COLUMN model_version_members.version IS 'its version';
COMMENT ON COLUMN model_version_members.state_seq IS 'merge state it serves';
COMMENT ON COLUMN model_version_members.contributor_key IS 'a contributor in it';
COMMENT ON COLUMN model_version_members.external_id IS 'the outside id; NULL once erased';
COMMENT ON COLUMN model_version_members.run_id IS 'the finetuning that is in it';
COMMENT ON COLUMN model_version_members.dataset_sha256 IS 'the data that finetuning learned from';
COMMENT ON COLUMN model_version_members.valid_from IS 'when the contributor''s finetuning came into the merge';
COMMENT ON COLUMN model_version_members.valid_to IS 'when it went out of the merge; NULL while it is in';
COMMENT ON COLUMN model_version_members.champion_from IS 'when this version began to be served';
COMMENT ON COLUMN model_version_members.champion_to IS 'when another version took over';
COMMENT ON COLUMN model_version_members.destroyed_at IS 'when the bytes of this version were destroyed';
