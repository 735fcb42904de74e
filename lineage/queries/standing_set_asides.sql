SELECT * FROM standing_set_asides ORDER BY request_id
