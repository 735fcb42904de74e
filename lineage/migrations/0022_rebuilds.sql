CREATE TABLE rebuild (
    state_seq      INTEGER PRIMARY KEY,
    rebuilt_sha256 VARCHAR NOT NULL,
    rebuilt_at     TIMESTAMP NOT NULL,
    sequence       INTEGER,
    certificate    VARCHAR
);
COMMENT ON TABLE rebuild IS 'Merge states that an audit added up anew from the vectors of all their members, and nothing else.';
COMMENT ON COLUMN rebuild.state_seq IS 'merge state that was rebuilt';
COMMENT ON COLUMN rebuild.rebuilt_sha256 IS 'SHA-256 of what came out; another than that of the state is an alarm';
COMMENT ON COLUMN rebuild.rebuilt_at IS 'when the last vector was added';
COMMENT ON COLUMN rebuild.sequence IS 'number of its attestation in the chain of certificates; NULL where other bytes came out';
COMMENT ON COLUMN rebuild.certificate IS 'SHA-256 of the file of the attestation';
