SELECT * FROM opt_out_step WHERE request_id = $request_id ORDER BY number
