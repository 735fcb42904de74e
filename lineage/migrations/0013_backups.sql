CREATE TABLE backup (
    backup_id    VARCHAR PRIMARY KEY,
    place        VARCHAR NOT NULL,
    made_by      VARCHAR NOT NULL,
    made_at      TIMESTAMP NOT NULL,
    destroyed_at TIMESTAMP,
    destroyed_by VARCHAR
);
COMMENT ON TABLE backup IS 'Each backup of the workspace that was made: a copy that an opt-out does not reach.';
COMMENT ON COLUMN backup.backup_id IS 'backup-0001, backup-0002 and so on';
COMMENT ON COLUMN backup.place IS 'the file it was written to';
COMMENT ON COLUMN backup.made_by IS 'who made it, by the name that was given';
COMMENT ON COLUMN backup.made_at IS 'when; it holds what was there at that moment';
COMMENT ON COLUMN backup.destroyed_at IS 'when it was destroyed; NULL while it exists as far as we know';
COMMENT ON COLUMN backup.destroyed_by IS 'who destroyed it, or said that it is gone';
