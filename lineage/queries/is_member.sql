SELECT run_id FROM membership WHERE contributor_key = $contributor_key AND to_seq IS NULL
