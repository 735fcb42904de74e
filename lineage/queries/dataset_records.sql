SELECT * FROM dataset_records ORDER BY contributor_key, sha256
