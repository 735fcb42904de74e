SELECT dataset_version.*
FROM dataset_version
WHERE contributor_key = $contributor_key
    AND EXISTS (
        SELECT 1 FROM dataset_records
        WHERE dataset_records.contributor_key = dataset_version.contributor_key
            AND dataset_records.sha256 = dataset_version.sha256
            AND list_has_any(records, CAST($records AS VARCHAR[]))
    )
ORDER BY added_at, sha256
