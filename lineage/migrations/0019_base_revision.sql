ALTER TABLE base_model ADD COLUMN revision VARCHAR;
COMMENT ON COLUMN base_model.revision IS 'commit of the hub that the weights were fetched at; NULL where they came from files';
