SELECT coalesce(
        max(TRY_CAST(regexp_extract(backup_id, '^backup-([0-9]+)$', 1) AS INTEGER)), 0
    ) AS number
FROM backup
