SELECT * FROM distinction ORDER BY contributor_key, other_key
