CREATE TABLE disclosure (
    disclosure_id   VARCHAR PRIMARY KEY,
    recipient       VARCHAR NOT NULL,
    purpose         VARCHAR,
    name            VARCHAR NOT NULL,
    version         INTEGER NOT NULL,
    contributor_key VARCHAR,
    weights_sha256  VARCHAR NOT NULL,
    disclosed_at    TIMESTAMP NOT NULL
);
COMMENT ON TABLE disclosure IS 'Each model that left the workspace, and who received it: whom to tell of an opt-out.';
COMMENT ON COLUMN disclosure.disclosure_id IS 'disclosure-0001, disclosure-0002 and so on';
COMMENT ON COLUMN disclosure.recipient IS 'who received it, by the name that was given';
COMMENT ON COLUMN disclosure.purpose IS 'what for; NULL if nothing was said';
COMMENT ON COLUMN disclosure.name IS 'registered model';
COMMENT ON COLUMN disclosure.version IS 'its version';
COMMENT ON COLUMN disclosure.contributor_key IS 'whose mask was applied; NULL: none';
COMMENT ON COLUMN disclosure.weights_sha256 IS 'SHA-256 of the weights that left';
COMMENT ON COLUMN disclosure.disclosed_at IS 'when';
