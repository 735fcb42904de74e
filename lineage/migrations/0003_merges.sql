CREATE TABLE linear_digest (
    subject VARCHAR NOT NULL,
    lane    INTEGER NOT NULL,
    value   UBIGINT NOT NULL,
    PRIMARY KEY (subject, lane)
);
COMMENT ON TABLE linear_digest IS 'Digests that add up: the sum over the members, modulo 2^64, is the digest of their merge.';
COMMENT ON COLUMN linear_digest.subject IS 'SHA-256 of the task vector or merge state it is a digest of';
COMMENT ON COLUMN linear_digest.lane IS 'which of the independent digests';
COMMENT ON COLUMN linear_digest.value IS 'the digest, 0 to 2^64 - 1';

CREATE TABLE merge_state (
    state_seq    INTEGER PRIMARY KEY,
    state_sha256 VARCHAR NOT NULL,
    md5          VARCHAR NOT NULL,
    bytes        BIGINT NOT NULL,
    base_id      VARCHAR NOT NULL,
    parent_seq   INTEGER,
    how          VARCHAR NOT NULL CHECK (how IN ('rebuild', 'update', 'opt-out')),
    created_at   TIMESTAMP NOT NULL,
    destroyed_at TIMESTAMP
);
COMMENT ON TABLE merge_state IS 'Each sum of task vectors there has been, in order. The highest number is the current one.';
COMMENT ON COLUMN merge_state.state_seq IS 'number of the state: 1, 2, 3 and so on';
COMMENT ON COLUMN merge_state.state_sha256 IS 'SHA-256 of the sum''s file; the same members give the same bytes, so it may come back under a later number';
COMMENT ON COLUMN merge_state.md5 IS 'MD5 of the file: its name in DVC';
COMMENT ON COLUMN merge_state.bytes IS 'size of the file in bytes';
COMMENT ON COLUMN merge_state.base_id IS 'base model of every vector in the sum';
COMMENT ON COLUMN merge_state.parent_seq IS 'state it was computed from; NULL for a rebuild from the vectors';
COMMENT ON COLUMN merge_state.how IS 'rebuild: summed afresh; update: vectors added or taken away; opt-out: taken away for a request';
COMMENT ON COLUMN merge_state.created_at IS 'when it became the current state';
COMMENT ON COLUMN merge_state.destroyed_at IS 'when the file was destroyed; NULL while it exists';

CREATE TABLE membership (
    contributor_key VARCHAR NOT NULL,
    run_id          VARCHAR NOT NULL,
    from_seq        INTEGER NOT NULL,
    to_seq          INTEGER,
    valid_from      TIMESTAMP NOT NULL,
    valid_to        TIMESTAMP,
    PRIMARY KEY (contributor_key, from_seq),
    CHECK (to_seq > from_seq),
    CHECK (valid_to >= valid_from)
);
COMMENT ON TABLE membership IS 'Which finetuning of which contributor is in the merge: from which state to which, and from when to when.';
COMMENT ON COLUMN membership.contributor_key IS 'the member';
COMMENT ON COLUMN membership.run_id IS 'the finetuning whose vector is in the sum';
COMMENT ON COLUMN membership.from_seq IS 'first state that contains it';
COMMENT ON COLUMN membership.to_seq IS 'first state that no longer contains it; NULL while it is a member';
COMMENT ON COLUMN membership.valid_from IS 'when it came in';
COMMENT ON COLUMN membership.valid_to IS 'when it went out; NULL while it is a member';
