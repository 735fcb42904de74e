CREATE TABLE base_model (
    base_id           VARCHAR PRIMARY KEY,
    source            VARCHAR NOT NULL,
    entries           BIGINT NOT NULL,
    trainable_entries BIGINT NOT NULL,
    warm_start        JSON,
    created_at        TIMESTAMP NOT NULL
);
COMMENT ON TABLE base_model IS 'The public model every finetuning starts from; holds no contributor''s data.';
COMMENT ON COLUMN base_model.base_id IS 'SHA-256 of the base weights';
COMMENT ON COLUMN base_model.source IS 'where the weights came from: name and version of a package, or a hub id';
COMMENT ON COLUMN base_model.entries IS 'number of weights';
COMMENT ON COLUMN base_model.trainable_entries IS 'number of weights a finetuning may change';
COMMENT ON COLUMN base_model.warm_start IS 'public data that trained a fresh head before any contributor: name, sha256, licence, rows, steps, learning rate; NULL if none';
COMMENT ON COLUMN base_model.created_at IS 'when the base was prepared';

CREATE TABLE environment (
    environment_id VARCHAR PRIMARY KEY,
    code_version   VARCHAR NOT NULL,
    python         VARCHAR NOT NULL,
    platform       VARCHAR NOT NULL,
    device         VARCHAR NOT NULL,
    threads        INTEGER NOT NULL,
    packages       JSON NOT NULL
);
COMMENT ON TABLE environment IS 'The software and machine a finetuning ran on.';
COMMENT ON COLUMN environment.environment_id IS 'fingerprint of all the columns below';
COMMENT ON COLUMN environment.code_version IS 'version of this project';
COMMENT ON COLUMN environment.python IS 'version of Python';
COMMENT ON COLUMN environment.platform IS 'operating system and processor';
COMMENT ON COLUMN environment.device IS 'device the finetuning ran on';
COMMENT ON COLUMN environment.threads IS 'CPU threads it used';
COMMENT ON COLUMN environment.packages IS 'names and versions of the packages that decide the numbers';

CREATE TABLE finetuning_run (
    run_id          VARCHAR PRIMARY KEY,
    contributor_key VARCHAR NOT NULL,
    dataset_sha256  VARCHAR NOT NULL,
    base_id         VARCHAR NOT NULL,
    environment_id  VARCHAR NOT NULL,
    parameters      JSON NOT NULL,
    seed            BIGINT NOT NULL,
    steps           BIGINT NOT NULL,
    first_loss      DOUBLE NOT NULL,
    last_loss       DOUBLE NOT NULL,
    started_at      TIMESTAMP NOT NULL,
    finished_at     TIMESTAMP NOT NULL,
    flow_run_id     VARCHAR
);
COMMENT ON TABLE finetuning_run IS 'Each finetuning of one contributor''s data alone. If the same run is done again, the latest doing stands.';
COMMENT ON COLUMN finetuning_run.run_id IS 'fingerprint of contributor, data, base, parameters and seed';
COMMENT ON COLUMN finetuning_run.contributor_key IS 'whose data it learned from';
COMMENT ON COLUMN finetuning_run.dataset_sha256 IS 'which version of that data';
COMMENT ON COLUMN finetuning_run.base_id IS 'which base it started from';
COMMENT ON COLUMN finetuning_run.environment_id IS 'where it ran';
COMMENT ON COLUMN finetuning_run.parameters IS 'every setting that decides the result';
COMMENT ON COLUMN finetuning_run.seed IS 'seed of data order and dropout';
COMMENT ON COLUMN finetuning_run.steps IS 'optimizer steps';
COMMENT ON COLUMN finetuning_run.first_loss IS 'loss of the first step';
COMMENT ON COLUMN finetuning_run.last_loss IS 'loss of the last step';
COMMENT ON COLUMN finetuning_run.started_at IS 'start';
COMMENT ON COLUMN finetuning_run.finished_at IS 'end';
COMMENT ON COLUMN finetuning_run.flow_run_id IS 'id of the Prefect flow run; NULL if it ran without one';

CREATE TABLE task_vector (
    run_id          VARCHAR PRIMARY KEY,
    contributor_key VARCHAR NOT NULL,
    vector_sha256   VARCHAR NOT NULL,
    mask_sha256     VARCHAR NOT NULL,
    vector_md5      VARCHAR NOT NULL,
    mask_md5        VARCHAR NOT NULL,
    vector_bytes    BIGINT NOT NULL,
    mask_bytes      BIGINT NOT NULL,
    entries         BIGINT NOT NULL,
    nonzero         BIGINT NOT NULL,
    created_at      TIMESTAMP NOT NULL,
    destroyed_at    TIMESTAMP,
    CHECK (nonzero <= entries)
);
COMMENT ON TABLE task_vector IS 'What a finetuning left: the magnitudes and the mask, as two files.';
COMMENT ON COLUMN task_vector.run_id IS 'the finetuning that made it';
COMMENT ON COLUMN task_vector.contributor_key IS 'whose contribution it is';
COMMENT ON COLUMN task_vector.vector_sha256 IS 'SHA-256 of the magnitudes file';
COMMENT ON COLUMN task_vector.mask_sha256 IS 'SHA-256 of the mask file';
COMMENT ON COLUMN task_vector.vector_md5 IS 'MD5 of the magnitudes file: its name in DVC';
COMMENT ON COLUMN task_vector.mask_md5 IS 'MD5 of the mask file: its name in DVC';
COMMENT ON COLUMN task_vector.vector_bytes IS 'size of the magnitudes file in bytes';
COMMENT ON COLUMN task_vector.mask_bytes IS 'size of the mask file in bytes';
COMMENT ON COLUMN task_vector.entries IS 'number of trainable weights';
COMMENT ON COLUMN task_vector.nonzero IS 'how many of them this contributor moved; nonzero / entries is the density';
COMMENT ON COLUMN task_vector.created_at IS 'when it was made';
COMMENT ON COLUMN task_vector.destroyed_at IS 'when both files were destroyed; NULL while they exist';
