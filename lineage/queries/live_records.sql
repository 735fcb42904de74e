SELECT DISTINCT unnest(records) AS record
FROM dataset_records
JOIN dataset_version USING (contributor_key, sha256)
WHERE contributor_key = $contributor_key AND destroyed_at IS NULL
ORDER BY record
