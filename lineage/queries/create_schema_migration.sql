CREATE TABLE IF NOT EXISTS schema_migration (
    version    INTEGER PRIMARY KEY,
    name       VARCHAR NOT NULL,
    sha256     VARCHAR NOT NULL,
    applied_at TIMESTAMP NOT NULL
);
COMMENT ON TABLE schema_migration IS 'The migrations that made these tables.';
COMMENT ON COLUMN schema_migration.version IS 'number of the migration';
COMMENT ON COLUMN schema_migration.name IS 'its name';
COMMENT ON COLUMN schema_migration.sha256 IS 'SHA-256 of its SQL file, checked whenever the store is opened';
COMMENT ON COLUMN schema_migration.applied_at IS 'when it was applied';
