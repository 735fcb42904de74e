SELECT * FROM model_version ORDER BY name, version
