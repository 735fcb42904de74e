ALTER TABLE opt_out_request ADD COLUMN jurisdiction VARCHAR;
ALTER TABLE opt_out_request ADD COLUMN filed_by VARCHAR;
COMMENT ON COLUMN opt_out_request.jurisdiction IS 'the law whose deadlines count, by its name in the policy; NULL if none was recorded';
COMMENT ON COLUMN opt_out_request.filed_by IS 'who filed it here, not who withdraws; NULL if nobody was recorded';

CREATE TABLE opt_out_approval (
    request_id VARCHAR NOT NULL,
    decision   VARCHAR NOT NULL CHECK (decision IN ('approved', 'rejected')),
    actor      VARCHAR NOT NULL,
    reason     VARCHAR NOT NULL,
    decided_at TIMESTAMP NOT NULL,
    PRIMARY KEY (request_id, decision, actor)
);
COMMENT ON TABLE opt_out_approval IS 'Who approved or rejected a request, before anything that cannot be undone.';
COMMENT ON COLUMN opt_out_approval.request_id IS 'the request';
COMMENT ON COLUMN opt_out_approval.decision IS 'approved or rejected';
COMMENT ON COLUMN opt_out_approval.actor IS 'who decided, by the name they gave';
COMMENT ON COLUMN opt_out_approval.reason IS 'why';
COMMENT ON COLUMN opt_out_approval.decided_at IS 'when';

CREATE TABLE opt_out_deadline (
    request_id VARCHAR NOT NULL,
    kind       VARCHAR NOT NULL CHECK (kind IN ('acknowledge', 'answer', 'extended answer')),
    due_at     TIMESTAMP NOT NULL,
    PRIMARY KEY (request_id, kind)
);
COMMENT ON TABLE opt_out_deadline IS 'By when the law asks for what, fixed by the policy of the day the request was filed or extended.';
COMMENT ON COLUMN opt_out_deadline.request_id IS 'the request';
COMMENT ON COLUMN opt_out_deadline.kind IS 'acknowledge: confirm receipt; answer: fulfil or reject; extended answer: the later date, after notice';
COMMENT ON COLUMN opt_out_deadline.due_at IS 'the last moment in time';

CREATE TABLE opt_out_notice (
    request_id VARCHAR NOT NULL,
    kind       VARCHAR NOT NULL CHECK (kind IN ('acknowledged', 'extended')),
    actor      VARCHAR NOT NULL,
    reason     VARCHAR NOT NULL,
    sent_at    TIMESTAMP NOT NULL,
    PRIMARY KEY (request_id, kind)
);
COMMENT ON TABLE opt_out_notice IS 'What the person who withdraws was told: that the request came in, that the answer takes longer.';
COMMENT ON COLUMN opt_out_notice.request_id IS 'the request';
COMMENT ON COLUMN opt_out_notice.kind IS 'acknowledged: receipt was confirmed; extended: the later date was announced';
COMMENT ON COLUMN opt_out_notice.actor IS 'who told them, by the name they gave';
COMMENT ON COLUMN opt_out_notice.reason IS 'why it takes longer, or how receipt was confirmed';
COMMENT ON COLUMN opt_out_notice.sent_at IS 'when';
