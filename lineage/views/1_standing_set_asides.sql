CREATE OR REPLACE VIEW standing_set_asides AS
SELECT aside.*
FROM opt_out_set_aside AS aside
WHERE NOT EXISTS (
    FROM opt_out_step
    WHERE opt_out_step.request_id = aside.request_id
    AND opt_out_step.step IN (aside.step, 'rejected', 'failed')
)
QUALIFY row_number() OVER (PARTITION BY aside.request_id ORDER BY aside.set_aside_at DESC) = 1;
COMMENT ON VIEW standing_set_asides IS 'Requests that are set aside now: the last time, of those that still stand before that step.';
COMMENT ON COLUMN standing_set_asides.request_id IS 'the request';
COMMENT ON COLUMN standing_set_asides.step IS 'the step it could not take';
COMMENT ON COLUMN standing_set_asides.set_aside_at IS 'since when';
COMMENT ON COLUMN standing_set_asides.reason IS 'why, without names, quotations and ids';
COMMENT ON COLUMN standing_set_asides.remedy IS 'what to do about it, likewise';
