CREATE OR REPLACE VIEW model_version_members AS
SELECT
    model_version.name,
    model_version.version,
    model_version.state_seq,
    merge_members.contributor_key,
    merge_members.external_id,
    merge_members.run_id,
    merge_members.dataset_sha256,
    merge_members.valid_from,
    merge_members.valid_to,
    model_version.champion_from,
    model_version.champion_to,
    model_version.destroyed_at
FROM model_version
JOIN merge_members ON merge_members.state_seq = model_version.state_seq;
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
