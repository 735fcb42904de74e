UPDATE model_version
SET champion_to = $at
WHERE name = $name AND champion_from IS NOT NULL AND champion_to IS NULL
