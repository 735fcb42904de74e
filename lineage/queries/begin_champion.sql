SELECT name, version, $at AS champion_from
FROM model_version
WHERE name = $name AND version = $version
