SELECT version FROM model_version
WHERE name = $name AND version = $version AND champion_from IS NOT NULL AND champion_to IS NULL
