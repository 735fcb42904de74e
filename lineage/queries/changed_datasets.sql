SELECT * FROM dataset_version
WHERE (superseded_at IS NULL OR destroyed_at IS NOT NULL)
    AND to_json([contributor_key, sha256]) IN (
        SELECT CAST(row_key AS JSON) FROM audit_change
        WHERE seq > $seq AND table_name = 'dataset_version'
    )
ORDER BY contributor_key, sha256
