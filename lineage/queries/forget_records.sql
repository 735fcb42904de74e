SELECT contributor_key, sha256,
    list_sort(list_intersect(records, CAST($keep AS VARCHAR[]))) AS records
FROM dataset_records
JOIN dataset_version USING (contributor_key, sha256)
WHERE contributor_key = $contributor_key AND destroyed_at IS NOT NULL
