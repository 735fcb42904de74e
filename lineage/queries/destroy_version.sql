UPDATE model_version
SET destroyed_at = coalesce(destroyed_at, $at)
WHERE name = $name AND version = $version
RETURNING version
