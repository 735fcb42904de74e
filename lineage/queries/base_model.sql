SELECT * FROM base_model WHERE base_id = $base_id
