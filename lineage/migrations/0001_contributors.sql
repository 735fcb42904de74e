CREATE TABLE contributor (
    contributor_key VARCHAR PRIMARY KEY,
    external_id     VARCHAR,
    added_at        TIMESTAMP NOT NULL,
    erased_at       TIMESTAMP
);
COMMENT ON TABLE contributor IS 'Whoever gave data. The only place where the outside id is kept.';
COMMENT ON COLUMN contributor.contributor_key IS 'keyed hash of the id, 32 hex characters; stands for the contributor everywhere else';
COMMENT ON COLUMN contributor.external_id IS 'the id as it came from outside; NULL once erased';
COMMENT ON COLUMN contributor.added_at IS 'when the contributor was first taken in, or taken in again after erasure';
COMMENT ON COLUMN contributor.erased_at IS 'when the id was erased; NULL while it is kept';

CREATE TABLE dataset_version (
    contributor_key VARCHAR NOT NULL,
    sha256          VARCHAR NOT NULL,
    md5             VARCHAR NOT NULL,
    bytes           BIGINT NOT NULL,
    train_rows      BIGINT NOT NULL,
    test_rows       BIGINT NOT NULL,
    task            VARCHAR NOT NULL CHECK (task IN ('classification', 'generation')),
    added_at        TIMESTAMP NOT NULL,
    superseded_at   TIMESTAMP,
    destroyed_at    TIMESTAMP,
    PRIMARY KEY (contributor_key, sha256)
);
COMMENT ON TABLE dataset_version IS 'Each validated data file a contributor has had, by its content.';
COMMENT ON COLUMN dataset_version.contributor_key IS 'whose data';
COMMENT ON COLUMN dataset_version.sha256 IS 'SHA-256 of the file, which is what names the version';
COMMENT ON COLUMN dataset_version.md5 IS 'MD5 of the same bytes: the name of the object in DVC';
COMMENT ON COLUMN dataset_version.bytes IS 'size of the file in bytes';
COMMENT ON COLUMN dataset_version.train_rows IS 'rows the finetuning sees';
COMMENT ON COLUMN dataset_version.test_rows IS 'rows held out for evaluation';
COMMENT ON COLUMN dataset_version.task IS 'classification or generation';
COMMENT ON COLUMN dataset_version.added_at IS 'when this content became the contributor''s data';
COMMENT ON COLUMN dataset_version.superseded_at IS 'when newer data took its place; NULL while it is current';
COMMENT ON COLUMN dataset_version.destroyed_at IS 'when the bytes were destroyed; NULL while they exist';
