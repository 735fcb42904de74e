CREATE OR REPLACE VIEW purge_evidence AS
SELECT
    request_id,
    place,
    kind,
    locator,
    bytes,
    planned_at,
    destroyed_at,
    absent_at,
    CASE
        WHEN absent_at IS NOT NULL THEN 'absent'
        WHEN destroyed_at IS NOT NULL THEN 'destroyed'
        ELSE 'pending'
    END AS verdict
FROM purge_object;
COMMENT ON VIEW purge_evidence IS 'Object by object, what became of what a request had to destroy.';
COMMENT ON COLUMN purge_evidence.request_id IS 'the request';
COMMENT ON COLUMN purge_evidence.place IS 'where the object lay';
COMMENT ON COLUMN purge_evidence.kind IS 'what it was';
COMMENT ON COLUMN purge_evidence.locator IS 'how it was found in that place';
COMMENT ON COLUMN purge_evidence.bytes IS 'size in bytes when it was planned';
COMMENT ON COLUMN purge_evidence.planned_at IS 'when it was listed';
COMMENT ON COLUMN purge_evidence.destroyed_at IS 'when it was destroyed';
COMMENT ON COLUMN purge_evidence.absent_at IS 'when it was looked for again and not found';
COMMENT ON COLUMN purge_evidence.verdict IS 'pending: still to do; destroyed: not yet looked for again; absent: proven gone';
