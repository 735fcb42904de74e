ALTER TABLE environment ALTER COLUMN code_version DROP NOT NULL;
ALTER TABLE environment ALTER COLUMN python DROP NOT NULL;
ALTER TABLE environment ALTER COLUMN platform DROP NOT NULL;
ALTER TABLE environment ALTER COLUMN device DROP NOT NULL;
ALTER TABLE environment ALTER COLUMN threads DROP NOT NULL;
ALTER TABLE environment ALTER COLUMN packages DROP NOT NULL;
ALTER TABLE environment ADD COLUMN forgotten_at TIMESTAMP;
COMMENT ON COLUMN environment.code_version IS 'version of this project; NULL once forgotten, as all below';
COMMENT ON COLUMN environment.forgotten_at IS 'when a purge found that no vector made there is left; NULL while one is';
