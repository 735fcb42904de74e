-- A version holds what is withdrawn if a member of it learned from a dataset that held it.
SELECT DISTINCT disclosure.*
FROM opt_out_request
JOIN model_version_members USING (contributor_key)
JOIN disclosure
    ON disclosure.name = model_version_members.name
    AND disclosure.version = model_version_members.version
WHERE opt_out_request.request_id = $request_id
    AND (
        opt_out_request.records IS NULL
        OR EXISTS (
            FROM dataset_records
            WHERE dataset_records.contributor_key = opt_out_request.contributor_key
                AND dataset_records.sha256 = model_version_members.dataset_sha256
                AND list_has_any(dataset_records.records, opt_out_request.records)
        )
    )
ORDER BY disclosed_at, disclosure_id
