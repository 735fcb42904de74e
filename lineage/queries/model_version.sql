SELECT * FROM model_version WHERE name = $name AND version = $version
