SELECT * FROM dataset_version ORDER BY contributor_key, added_at, sha256
