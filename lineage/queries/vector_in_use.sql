SELECT contributor_key FROM membership WHERE run_id = $run_id AND to_seq IS NULL
