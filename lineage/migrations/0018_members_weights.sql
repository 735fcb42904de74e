ALTER TABLE model_version ADD COLUMN members_sha256 VARCHAR;
UPDATE model_version SET members_sha256 = served_sha256;
COMMENT ON COLUMN model_version.members_sha256 IS 'SHA-256 of the weights that members are served, each under their mask; until version 0.1 members were served those of anyone';
