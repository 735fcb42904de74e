UPDATE model_version
SET champion_from = $at
WHERE name = $name AND version = $version
