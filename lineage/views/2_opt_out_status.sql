CREATE OR REPLACE VIEW opt_out_status AS
SELECT
    opt_out_request.request_id,
    opt_out_request.contributor_key,
    contributor.external_id,
    opt_out_request.basis,
    len(opt_out_request.records) AS records,
    opt_out_request.received_at,
    count(opt_out_step.step) FILTER (opt_out_step.step NOT IN ('failed', 'rejected'))
        AS steps_done,
    arg_max(opt_out_step.step, opt_out_step.number) AS last_step,
    arg_max(opt_out_step.done_at, opt_out_step.number) AS last_step_at,
    CASE
        WHEN count(*) FILTER (opt_out_step.step = 'failed') > 0 THEN 'failed'
        WHEN count(*) FILTER (opt_out_step.step = 'rejected') > 0 THEN 'rejected'
        WHEN count(*) FILTER (opt_out_step.step = 'reported') > 0 THEN 'reported'
        ELSE 'open'
    END AS outcome,
    max(opt_out_step.details ->> '$.reason')
        FILTER (opt_out_step.step IN ('failed', 'rejected')) AS reason,
    aside.set_aside_at AS set_aside_since,
    aside.reason AS set_aside_because
FROM opt_out_request
LEFT JOIN contributor USING (contributor_key)
LEFT JOIN opt_out_step USING (request_id)
LEFT JOIN standing_set_asides AS aside USING (request_id)
GROUP BY ALL;
COMMENT ON VIEW opt_out_status IS 'How far each opt-out request has come.';
COMMENT ON COLUMN opt_out_status.request_id IS 'the request';
COMMENT ON COLUMN opt_out_status.contributor_key IS 'who withdraws';
COMMENT ON COLUMN opt_out_status.external_id IS 'the outside id; NULL once erased';
COMMENT ON COLUMN opt_out_status.basis IS 'the right it rests on';
COMMENT ON COLUMN opt_out_status.records IS 'how many records it withdraws; NULL: the contributor with all data';
COMMENT ON COLUMN opt_out_status.received_at IS 'when it came in';
COMMENT ON COLUMN opt_out_status.steps_done IS 'number of steps that are done';
COMMENT ON COLUMN opt_out_status.last_step IS 'the latest step';
COMMENT ON COLUMN opt_out_status.last_step_at IS 'when that was';
COMMENT ON COLUMN opt_out_status.outcome IS 'open, reported, rejected or failed';
COMMENT ON COLUMN opt_out_status.reason IS 'why it was rejected or failed';
COMMENT ON COLUMN opt_out_status.set_aside_since IS 'since when it waits before its next step while others went on; NULL unless it does';
COMMENT ON COLUMN opt_out_status.set_aside_because IS 'why';
