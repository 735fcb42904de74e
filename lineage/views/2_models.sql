CREATE OR REPLACE VIEW models AS
SELECT
    model_version.name,
    model_version.version,
    CASE
        WHEN model_version.destroyed_at IS NOT NULL THEN 'destroyed'
        WHEN model_version.champion_to IS NOT NULL THEN 'replaced'
        WHEN model_version.champion_from IS NOT NULL THEN 'served'
        ELSE 'registered'
    END AS status,
    (
        SELECT count(*) FROM membership
        WHERE membership.from_seq <= model_version.state_seq
            AND (membership.to_seq IS NULL OR model_version.state_seq < membership.to_seq)
    ) AS members,
    model_version.state_seq,
    merge_state.state_sha256,
    model_version.served_sha256,
    model_version.members_sha256,
    base_model.source AS base,
    model_version.registered_at,
    model_version.champion_from,
    model_version.champion_to,
    model_version.destroyed_at
FROM model_version
LEFT JOIN merge_state USING (state_seq)
LEFT JOIN base_model USING (base_id);
COMMENT ON VIEW models IS 'Each model version with its state, its members counted, and what it is now.';
COMMENT ON COLUMN models.name IS 'registered model';
COMMENT ON COLUMN models.version IS 'its version';
COMMENT ON COLUMN models.status IS 'registered: not served yet; served: the champion; replaced; destroyed';
COMMENT ON COLUMN models.members IS 'number of contributors in it';
COMMENT ON COLUMN models.state_seq IS 'merge state it serves';
COMMENT ON COLUMN models.state_sha256 IS 'SHA-256 of that state''s file';
COMMENT ON COLUMN models.served_sha256 IS 'SHA-256 of the unmasked weights it serves';
COMMENT ON COLUMN models.members_sha256 IS 'SHA-256 of the weights it serves to members, each under their mask';
COMMENT ON COLUMN models.base IS 'where the base weights came from';
COMMENT ON COLUMN models.registered_at IS 'when it was registered';
COMMENT ON COLUMN models.champion_from IS 'when it became the champion; NULL if it never was';
COMMENT ON COLUMN models.champion_to IS 'when another version took over';
COMMENT ON COLUMN models.destroyed_at IS 'when its bytes were destroyed; NULL while they exist';
