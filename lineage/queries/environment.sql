SELECT * FROM environment WHERE environment_id = $environment_id
