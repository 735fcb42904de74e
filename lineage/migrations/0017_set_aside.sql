CREATE TABLE opt_out_set_aside (
    request_id   VARCHAR NOT NULL,
    step         VARCHAR NOT NULL,
    set_aside_at TIMESTAMP NOT NULL,
    reason       VARCHAR NOT NULL,
    remedy       VARCHAR NOT NULL,
    PRIMARY KEY (request_id, set_aside_at)
);
COMMENT ON TABLE opt_out_set_aside IS 'Each time a request could not take a step while others went on: it stays open before that step, its deadlines run, and the next run tries it again.';
COMMENT ON COLUMN opt_out_set_aside.request_id IS 'the request';
COMMENT ON COLUMN opt_out_set_aside.step IS 'the step it could not take; it stands again once that step is recorded';
COMMENT ON COLUMN opt_out_set_aside.set_aside_at IS 'when; trying again in vain for the same reason adds no row';
COMMENT ON COLUMN opt_out_set_aside.reason IS 'why, without names, quotations and ids';
COMMENT ON COLUMN opt_out_set_aside.remedy IS 'what to do about it, likewise';
