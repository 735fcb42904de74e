CREATE TABLE legal_hold (
    contributor_key VARCHAR NOT NULL,
    placed_at       TIMESTAMP NOT NULL,
    placed_by       VARCHAR NOT NULL,
    reason          VARCHAR NOT NULL,
    released_at     TIMESTAMP,
    released_by     VARCHAR,
    release_reason  VARCHAR,
    PRIMARY KEY (contributor_key, placed_at)
);
COMMENT ON TABLE legal_hold IS 'Contributors whose data the law forbids to destroy for now. A request runs no further meanwhile; its deadlines do.';
COMMENT ON COLUMN legal_hold.contributor_key IS 'whose data';
COMMENT ON COLUMN legal_hold.placed_at IS 'since when';
COMMENT ON COLUMN legal_hold.placed_by IS 'who placed it, by the name they gave';
COMMENT ON COLUMN legal_hold.reason IS 'why, such as the case it is needed for';
COMMENT ON COLUMN legal_hold.released_at IS 'until when; NULL while it stands';
COMMENT ON COLUMN legal_hold.released_by IS 'who released it; NULL while it stands';
COMMENT ON COLUMN legal_hold.release_reason IS 'why it was released; NULL while it stands';
