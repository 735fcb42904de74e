INSERT INTO schema_migration (version, name, sha256, applied_at)
VALUES ($version, $name, $sha256, $applied_at)
