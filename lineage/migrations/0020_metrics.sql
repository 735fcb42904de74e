CREATE TABLE evaluation_by_metric (
    state_seq       INTEGER NOT NULL,
    contributor_key VARCHAR NOT NULL,
    setting         VARCHAR NOT NULL CHECK (setting IN ('base', 'merged', 'masked')),
    split           VARCHAR NOT NULL CHECK (split IN ('held_in', 'held_out')),
    metric          VARCHAR NOT NULL CHECK (metric IN ('accuracy', 'answer_probability', 'next_token_accuracy', 'perplexity')),
    value           DOUBLE NOT NULL,
    row_count       BIGINT NOT NULL,
    evaluated_at    TIMESTAMP NOT NULL,
    PRIMARY KEY (state_seq, contributor_key, setting, split, metric)
);
INSERT INTO evaluation_by_metric SELECT * FROM evaluation;
DROP TABLE evaluation;
ALTER TABLE evaluation_by_metric RENAME TO evaluation;
COMMENT ON TABLE evaluation IS 'How well a merge state serves each contributor, metric by metric. Measuring again replaces the row.';
COMMENT ON COLUMN evaluation.state_seq IS 'merge state that was measured';
COMMENT ON COLUMN evaluation.contributor_key IS 'on whose data';
COMMENT ON COLUMN evaluation.setting IS 'base: the base model; merged: unmasked; masked: with the contributor''s mask';
COMMENT ON COLUMN evaluation.split IS 'held_in: rows the finetuning saw; held_out: rows it did not see';
COMMENT ON COLUMN evaluation.metric IS 'of classes accuracy, of chats answer_probability, of texts next_token_accuracy and perplexity';
COMMENT ON COLUMN evaluation.value IS 'the measurement: 0 to 1, and perplexity from 1';
COMMENT ON COLUMN evaluation.row_count IS 'rows it was measured on';
COMMENT ON COLUMN evaluation.evaluated_at IS 'when';
