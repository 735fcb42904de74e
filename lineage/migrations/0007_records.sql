CREATE TABLE dataset_records (
    contributor_key VARCHAR NOT NULL,
    sha256          VARCHAR NOT NULL,
    records         VARCHAR[] NOT NULL,
    PRIMARY KEY (contributor_key, sha256)
);
COMMENT ON TABLE dataset_records IS 'Which records each dataset version holds, by digest; the records themselves are in the file alone.';
COMMENT ON COLUMN dataset_records.contributor_key IS 'whose data';
COMMENT ON COLUMN dataset_records.sha256 IS 'the dataset version';
COMMENT ON COLUMN dataset_records.records IS 'SHA-256 of each different record, in order; of a destroyed version only those that a request named';

ALTER TABLE opt_out_request ADD COLUMN records VARCHAR[];
COMMENT ON COLUMN opt_out_request.records IS 'the records it withdraws, by their SHA-256, in order; NULL: the contributor with all data';
