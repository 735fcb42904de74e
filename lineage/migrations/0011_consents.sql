CREATE TABLE consent (
    contributor_key VARCHAR NOT NULL,
    given_at        TIMESTAMP NOT NULL,
    recorded_by     VARCHAR NOT NULL,
    reference       VARCHAR NOT NULL,
    PRIMARY KEY (contributor_key, given_at)
);
COMMENT ON TABLE consent IS 'New consent of contributors who had opted out. Requests received before it no longer stand in the way; what they destroyed stays destroyed.';
COMMENT ON COLUMN consent.contributor_key IS 'who came back';
COMMENT ON COLUMN consent.given_at IS 'when it was recorded, with the new data';
COMMENT ON COLUMN consent.recorded_by IS 'who recorded it, by the name they gave';
COMMENT ON COLUMN consent.reference IS 'where the consent itself is kept, such as the number of a form';
