-- A backup holds what is withdrawn if a dataset that held it was there when the backup was made.
SELECT DISTINCT backup.*
FROM opt_out_request
JOIN dataset_version USING (contributor_key)
JOIN backup
    ON dataset_version.added_at <= backup.made_at
    AND coalesce(dataset_version.destroyed_at > backup.made_at, true)
WHERE opt_out_request.request_id = $request_id
    AND backup.destroyed_at IS NULL
    AND (
        opt_out_request.records IS NULL
        OR EXISTS (
            FROM dataset_records
            WHERE dataset_records.contributor_key = opt_out_request.contributor_key
                AND dataset_records.sha256 = dataset_version.sha256
                AND list_has_any(dataset_records.records, opt_out_request.records)
        )
    )
ORDER BY made_at, backup_id
