SELECT $version AS version, $name AS name, $sha256 AS sha256, $applied_at AS applied_at
