CREATE TABLE likeness (
    contributor_key VARCHAR NOT NULL,
    likeness        VARCHAR NOT NULL,
    PRIMARY KEY (contributor_key, likeness)
);
COMMENT ON TABLE likeness IS 'What the ids of those looked like whose id is erased, as keyed hashes: so they are known again under another spelling.';
COMMENT ON COLUMN likeness.contributor_key IS 'whose id it was';
COMMENT ON COLUMN likeness.likeness IS 'keyed hash of what the id looks like, 32 hex characters; ids that share one look alike';

CREATE TABLE distinction (
    contributor_key VARCHAR NOT NULL,
    other_key       VARCHAR NOT NULL,
    said_by         VARCHAR NOT NULL,
    said_at         TIMESTAMP NOT NULL,
    PRIMARY KEY (contributor_key, other_key)
);
COMMENT ON TABLE distinction IS 'Contributors whose ids look alike and who are two people, as somebody said when the second came.';
COMMENT ON COLUMN distinction.contributor_key IS 'who came with an id that looks like another''s';
COMMENT ON COLUMN distinction.other_key IS 'whose id it looks like';
COMMENT ON COLUMN distinction.said_by IS 'who said that they are two people, by the name they gave';
COMMENT ON COLUMN distinction.said_at IS 'when it was said, with the new data';
