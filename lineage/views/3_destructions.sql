CREATE OR REPLACE VIEW destructions AS
SELECT
    purge_evidence.request_id,
    opt_out_request.contributor_key,
    opt_out_request.basis,
    opt_out_request.received_at,
    purge_evidence.place,
    purge_evidence.kind,
    purge_evidence.locator,
    purge_evidence.bytes,
    purge_evidence.planned_at,
    purge_evidence.destroyed_at,
    purge_evidence.absent_at,
    purge_evidence.verdict
FROM purge_evidence
JOIN opt_out_request USING (request_id);
COMMENT ON VIEW destructions IS 'Each object that was or must be destroyed, with the request it goes for.';
COMMENT ON COLUMN destructions.request_id IS 'the request';
COMMENT ON COLUMN destructions.contributor_key IS 'who withdraws';
COMMENT ON COLUMN destructions.basis IS 'the right the request rests on';
COMMENT ON COLUMN destructions.received_at IS 'when the request came in';
COMMENT ON COLUMN destructions.place IS 'where the object lay';
COMMENT ON COLUMN destructions.kind IS 'what it was';
COMMENT ON COLUMN destructions.locator IS 'how it was found in that place';
COMMENT ON COLUMN destructions.bytes IS 'size in bytes when it was planned; NULL if unknown';
COMMENT ON COLUMN destructions.planned_at IS 'when it was listed for destruction';
COMMENT ON COLUMN destructions.destroyed_at IS 'when it was destroyed; NULL until then';
COMMENT ON COLUMN destructions.absent_at IS 'when it was looked for again and not found; NULL until then';
COMMENT ON COLUMN destructions.verdict IS 'pending, destroyed or absent, as in purge_evidence';
