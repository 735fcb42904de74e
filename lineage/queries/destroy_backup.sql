UPDATE backup
SET destroyed_at = $at, destroyed_by = $actor
WHERE backup_id = $backup_id AND destroyed_at IS NULL
RETURNING backup_id
