CREATE OR REPLACE VIEW quality AS
SELECT
    state_seq,
    contributor_key,
    contributor.external_id,
    split,
    metric,
    max(row_count) AS row_count,
    max(value) FILTER (setting = 'base') AS base,
    max(value) FILTER (setting = 'merged') AS merged,
    max(value) FILTER (setting = 'masked') AS masked,
    max(evaluated_at) AS evaluated_at
FROM evaluation
LEFT JOIN contributor USING (contributor_key)
GROUP BY state_seq, contributor_key, contributor.external_id, split, metric;
COMMENT ON VIEW quality IS 'The latest evaluation of each contributor on each merge state by each metric, the three settings side by side.';
COMMENT ON COLUMN quality.state_seq IS 'merge state that was measured';
COMMENT ON COLUMN quality.contributor_key IS 'on whose data';
COMMENT ON COLUMN quality.external_id IS 'the outside id; NULL once erased';
COMMENT ON COLUMN quality.split IS 'held_in or held_out';
COMMENT ON COLUMN quality.metric IS 'of classes accuracy, of chats answer_probability, of texts next_token_accuracy and perplexity, of which lower is better';
COMMENT ON COLUMN quality.row_count IS 'rows it was measured on';
COMMENT ON COLUMN quality.base IS 'the base model; NULL if not measured';
COMMENT ON COLUMN quality.merged IS 'the merged model without a mask; NULL if not measured';
COMMENT ON COLUMN quality.masked IS 'the merged model with the contributor''s mask; NULL if not measured';
COMMENT ON COLUMN quality.evaluated_at IS 'when the last of the three was measured';
