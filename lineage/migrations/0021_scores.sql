ALTER TABLE evaluation ADD COLUMN weights_sha256 VARCHAR;
ALTER TABLE evaluation ADD COLUMN dataset_sha256 VARCHAR;
ALTER TABLE evaluation ADD COLUMN settings_sha256 VARCHAR;
COMMENT ON COLUMN evaluation.evaluated_at IS 'when; before the state was made where the same weights had been measured on the same rows';
COMMENT ON COLUMN evaluation.weights_sha256 IS 'digest of the trained parameters that were measured; NULL before it was kept';
COMMENT ON COLUMN evaluation.dataset_sha256 IS 'the dataset version that was measured on; NULL before it was kept';
COMMENT ON COLUMN evaluation.settings_sha256 IS 'of all else that a measurement depends on; NULL before it was kept';
