CREATE TABLE opt_out_request (
    request_id      VARCHAR PRIMARY KEY,
    contributor_key VARCHAR NOT NULL,
    basis           VARCHAR NOT NULL,
    received_at     TIMESTAMP NOT NULL
);
COMMENT ON TABLE opt_out_request IS 'Each request to withdraw. Names the contributor by key only, and is kept after erasure.';
COMMENT ON COLUMN opt_out_request.request_id IS 'opt-out-0001, opt-out-0002 and so on';
COMMENT ON COLUMN opt_out_request.contributor_key IS 'who withdraws';
COMMENT ON COLUMN opt_out_request.basis IS 'the right it rests on, such as gdpr-art-17';
COMMENT ON COLUMN opt_out_request.received_at IS 'when it came in; legal deadlines count from here';

CREATE TABLE opt_out_step (
    request_id VARCHAR NOT NULL,
    step       VARCHAR NOT NULL,
    number     INTEGER NOT NULL,
    done_at    TIMESTAMP NOT NULL,
    details    JSON NOT NULL,
    PRIMARY KEY (request_id, step)
);
COMMENT ON TABLE opt_out_step IS 'The steps a request has finished. A killed run reads here where to go on.';
COMMENT ON COLUMN opt_out_step.request_id IS 'the request';
COMMENT ON COLUMN opt_out_step.step IS 'the step that is done, or failed';
COMMENT ON COLUMN opt_out_step.number IS 'its place in the order of this request: 1, 2, 3 and so on';
COMMENT ON COLUMN opt_out_step.done_at IS 'when it was done';
COMMENT ON COLUMN opt_out_step.details IS 'what the step found or made: digests, counts, a reason';

CREATE TABLE purge_object (
    request_id   VARCHAR NOT NULL,
    place        VARCHAR NOT NULL,
    kind         VARCHAR NOT NULL,
    locator      VARCHAR NOT NULL,
    bytes        BIGINT,
    planned_at   TIMESTAMP NOT NULL,
    destroyed_at TIMESTAMP,
    absent_at    TIMESTAMP,
    PRIMARY KEY (request_id, place, locator)
);
COMMENT ON TABLE purge_object IS 'Each single object a request must destroy, and the proof that it was looked for again.';
COMMENT ON COLUMN purge_object.request_id IS 'the request';
COMMENT ON COLUMN purge_object.place IS 'where it lies: workspace, dvc-cache, dvc-remote, mlflow-model and so on';
COMMENT ON COLUMN purge_object.kind IS 'what it is: data, vector, mask, merge state, model version and so on';
COMMENT ON COLUMN purge_object.locator IS 'how to find it in that place: a path, a hash or an id';
COMMENT ON COLUMN purge_object.bytes IS 'size in bytes when it was planned; NULL if unknown';
COMMENT ON COLUMN purge_object.planned_at IS 'when it was listed for destruction';
COMMENT ON COLUMN purge_object.destroyed_at IS 'when it was destroyed; NULL until then';
COMMENT ON COLUMN purge_object.absent_at IS 'when it was looked for again and not found; NULL until then';
