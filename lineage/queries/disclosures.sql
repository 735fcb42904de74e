SELECT * FROM disclosure ORDER BY disclosed_at, disclosure_id
