SELECT * FROM opt_out_request ORDER BY received_at, request_id
