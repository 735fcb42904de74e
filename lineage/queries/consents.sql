SELECT * FROM consent WHERE contributor_key = $contributor_key ORDER BY given_at
