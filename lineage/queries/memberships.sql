SELECT * FROM membership WHERE contributor_key = $contributor_key ORDER BY from_seq
