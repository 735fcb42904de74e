UPDATE dataset_records
SET records = list_sort(list_intersect(records, CAST($keep AS VARCHAR[])))
FROM dataset_version
WHERE dataset_records.contributor_key = $contributor_key
    AND dataset_version.contributor_key = dataset_records.contributor_key
    AND dataset_version.sha256 = dataset_records.sha256
    AND dataset_version.destroyed_at IS NOT NULL
