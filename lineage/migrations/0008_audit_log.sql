CREATE TABLE audit_entry (
    seq             BIGINT PRIMARY KEY,
    written_at      TIMESTAMP NOT NULL,
    event           VARCHAR NOT NULL,
    details         JSON NOT NULL,
    previous_sha256 VARCHAR NOT NULL,
    sha256          VARCHAR NOT NULL
);
COMMENT ON TABLE audit_entry IS 'The audit log: one entry for each transaction that changed a row, each holding the hash of the one before.';
COMMENT ON COLUMN audit_entry.seq IS 'number of the entry: 1, 2, 3 and so on, without a gap';
COMMENT ON COLUMN audit_entry.written_at IS 'when it was written';
COMMENT ON COLUMN audit_entry.event IS 'what was done to which tables; began: what was there when the log began; migrated: the tables were changed';
COMMENT ON COLUMN audit_entry.details IS 'by table: how many rows changed, and the SHA-256 of their lines in audit_change';
COMMENT ON COLUMN audit_entry.previous_sha256 IS 'sha256 of the entry before; 64 zeros in the first';
COMMENT ON COLUMN audit_entry.sha256 IS 'SHA-256 of the canonical form of all the other columns';

CREATE TABLE audit_change (
    seq        BIGINT NOT NULL,
    table_name VARCHAR NOT NULL,
    row_key    VARCHAR NOT NULL,
    before     VARCHAR,
    after      VARCHAR
);
COMMENT ON TABLE audit_change IS 'Each row that an entry of the audit log speaks of: its key, and its digest before and after.';
COMMENT ON COLUMN audit_change.seq IS 'the entry';
COMMENT ON COLUMN audit_change.table_name IS 'the table that was changed';
COMMENT ON COLUMN audit_change.row_key IS 'the key columns of the row as a JSON array of strings; never an outside id';
COMMENT ON COLUMN audit_change.before IS 'digest of the row before; NULL if there was none';
COMMENT ON COLUMN audit_change.after IS 'digest of the row after; NULL if it was deleted';
