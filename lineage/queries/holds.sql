SELECT * FROM legal_hold ORDER BY placed_at, contributor_key
