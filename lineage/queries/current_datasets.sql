SELECT * FROM dataset_version
WHERE superseded_at IS NULL AND destroyed_at IS NULL
ORDER BY contributor_key
