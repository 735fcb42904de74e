SELECT * FROM likeness ORDER BY contributor_key, likeness
