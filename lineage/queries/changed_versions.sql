SELECT * FROM model_version
WHERE to_json([name, CAST(version AS VARCHAR)]) IN (
    SELECT CAST(row_key AS JSON) FROM audit_change
    WHERE seq > $seq
        AND table_name = 'model_version'
        AND (before IS NULL OR model_version.destroyed_at IS NOT NULL)
)
ORDER BY name, version
