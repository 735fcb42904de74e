SELECT name, version, coalesce(destroyed_at, $at) AS destroyed_at
FROM model_version
WHERE name = $name AND version = $version
