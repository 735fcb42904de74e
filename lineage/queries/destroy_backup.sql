SELECT backup_id, $at AS destroyed_at, $actor AS destroyed_by
FROM backup
WHERE backup_id = $backup_id AND destroyed_at IS NULL
