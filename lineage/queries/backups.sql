SELECT * FROM backup ORDER BY made_at, backup_id
