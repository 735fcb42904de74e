CREATE TABLE model_version (
    name            VARCHAR NOT NULL,
    version         INTEGER NOT NULL,
    state_seq       INTEGER NOT NULL,
    served_sha256   VARCHAR NOT NULL,
    mlflow_run_id   VARCHAR NOT NULL,
    mlflow_model_id VARCHAR NOT NULL,
    registered_at   TIMESTAMP NOT NULL,
    champion_from   TIMESTAMP,
    champion_to     TIMESTAMP,
    destroyed_at    TIMESTAMP,
    PRIMARY KEY (name, version)
);
COMMENT ON TABLE model_version IS 'Each model version registered in MLflow and the merge state it serves.';
COMMENT ON COLUMN model_version.name IS 'registered model';
COMMENT ON COLUMN model_version.version IS 'its version in MLflow';
COMMENT ON COLUMN model_version.state_seq IS 'merge state it was computed from';
COMMENT ON COLUMN model_version.served_sha256 IS 'SHA-256 of the unmasked weights it serves';
COMMENT ON COLUMN model_version.mlflow_run_id IS 'run in MLflow';
COMMENT ON COLUMN model_version.mlflow_model_id IS 'logged model in MLflow';
COMMENT ON COLUMN model_version.registered_at IS 'when it was registered';
COMMENT ON COLUMN model_version.champion_from IS 'when it became the champion, the version that is served; NULL if it never was';
COMMENT ON COLUMN model_version.champion_to IS 'when another version took over; NULL while it is the champion, or if it never was';
COMMENT ON COLUMN model_version.destroyed_at IS 'when its bytes were destroyed; NULL while they exist';

CREATE TABLE evaluation (
    state_seq       INTEGER NOT NULL,
    contributor_key VARCHAR NOT NULL,
    setting         VARCHAR NOT NULL CHECK (setting IN ('base', 'merged', 'masked')),
    split           VARCHAR NOT NULL CHECK (split IN ('held_in', 'held_out')),
    metric          VARCHAR NOT NULL CHECK (metric IN ('accuracy', 'answer_probability')),
    value           DOUBLE NOT NULL,
    row_count       BIGINT NOT NULL,
    evaluated_at    TIMESTAMP NOT NULL,
    PRIMARY KEY (state_seq, contributor_key, setting, split)
);
COMMENT ON TABLE evaluation IS 'How well a merge state serves each contributor. Measuring again replaces the row.';
COMMENT ON COLUMN evaluation.state_seq IS 'merge state that was measured';
COMMENT ON COLUMN evaluation.contributor_key IS 'on whose data';
COMMENT ON COLUMN evaluation.setting IS 'base: the base model; merged: unmasked; masked: with the contributor''s mask';
COMMENT ON COLUMN evaluation.split IS 'held_in: rows the finetuning saw; held_out: rows it did not see';
COMMENT ON COLUMN evaluation.metric IS 'accuracy for classification, answer_probability for generation';
COMMENT ON COLUMN evaluation.value IS 'the measurement, 0 to 1';
COMMENT ON COLUMN evaluation.row_count IS 'rows it was measured on';
COMMENT ON COLUMN evaluation.evaluated_at IS 'when';
