SELECT name, version, $at AS champion_to
FROM model_version
WHERE name = $name AND champion_from IS NOT NULL AND champion_to IS NULL
