CREATE OR REPLACE VIEW audit_history AS
SELECT
    audit_entry.seq,
    audit_entry.written_at,
    audit_change.table_name,
    count(*) FILTER (audit_change.before IS NULL) AS added,
    count(*) FILTER (audit_change.before IS NOT NULL AND audit_change.after IS NOT NULL) AS changed,
    count(*) FILTER (audit_change.after IS NULL) AS deleted,
    audit_entry.sha256
FROM audit_entry
LEFT JOIN audit_change USING (seq)
GROUP BY ALL;
COMMENT ON VIEW audit_history IS 'The audit log table by table: how many rows each entry added, changed and deleted.';
COMMENT ON COLUMN audit_history.seq IS 'the entry';
COMMENT ON COLUMN audit_history.written_at IS 'when it was written';
COMMENT ON COLUMN audit_history.table_name IS 'the table';
COMMENT ON COLUMN audit_history.added IS 'rows that were not there before';
COMMENT ON COLUMN audit_history.changed IS 'rows that were there with other values';
COMMENT ON COLUMN audit_history.deleted IS 'rows that are no longer there';
COMMENT ON COLUMN audit_history.sha256 IS 'hash of the entry';
