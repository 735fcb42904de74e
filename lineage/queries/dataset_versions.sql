SELECT * FROM dataset_version
WHERE contributor_key = $contributor_key
ORDER BY added_at, sha256
