CREATE OR REPLACE VIEW opt_out_deadlines AS
WITH ended AS (
    SELECT request_id, min(done_at) AS ended_at
    FROM opt_out_step
    WHERE step IN ('reported', 'rejected', 'failed')
    GROUP BY request_id
),
due AS (
    SELECT
        opt_out_deadline.request_id,
        opt_out_request.jurisdiction,
        opt_out_deadline.kind,
        opt_out_deadline.due_at,
        -- An answer says that the request came in, too.
        CASE opt_out_deadline.kind
            WHEN 'acknowledge' THEN least(opt_out_notice.sent_at, ended.ended_at)
            ELSE ended.ended_at
        END AS met_at
    FROM opt_out_deadline
    JOIN opt_out_request USING (request_id)
    LEFT JOIN ended USING (request_id)
    LEFT JOIN opt_out_notice
        ON opt_out_notice.request_id = opt_out_deadline.request_id
        AND opt_out_notice.kind = 'acknowledged'
    -- An extended deadline takes the place of the one before.
    WHERE opt_out_deadline.kind <> 'answer' OR NOT EXISTS (
        FROM opt_out_deadline AS later
        WHERE later.request_id = opt_out_deadline.request_id AND later.kind = 'extended answer'
    )
)
SELECT
    request_id,
    jurisdiction,
    kind,
    due_at,
    met_at,
    -- Whole days, so that no place's midnight matters: a deadline is the last second of a day.
    CASE WHEN met_at IS NULL
        THEN floor((epoch_us(due_at) - epoch_us(now())) / 86400e6)::BIGINT
    END AS days_left,
    CASE
        WHEN met_at <= due_at THEN 'met'
        WHEN met_at IS NOT NULL THEN 'late'
        WHEN make_timestamp(epoch_us(now())) > due_at THEN 'overdue'
        ELSE 'open'
    END AS state
FROM due;
COMMENT ON VIEW opt_out_deadlines IS 'By when each request must be acknowledged and answered, and whether it was.';
COMMENT ON COLUMN opt_out_deadlines.request_id IS 'the request';
COMMENT ON COLUMN opt_out_deadlines.jurisdiction IS 'the law that sets the deadline; NULL if none was recorded';
COMMENT ON COLUMN opt_out_deadlines.kind IS 'acknowledge, answer, or extended answer in its place';
COMMENT ON COLUMN opt_out_deadlines.due_at IS 'the last moment in time';
COMMENT ON COLUMN opt_out_deadlines.met_at IS 'when it was done; NULL until then';
COMMENT ON COLUMN opt_out_deadlines.days_left IS 'whole days until then, 0 on the last day, below 0 afterwards; NULL once done';
COMMENT ON COLUMN opt_out_deadlines.state IS 'met: done in time; late: done after it; open: still time; overdue: not done and past';
