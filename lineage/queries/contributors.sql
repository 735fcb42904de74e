SELECT * FROM contributor ORDER BY contributor_key
