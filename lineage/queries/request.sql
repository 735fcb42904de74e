SELECT * FROM opt_out_request WHERE request_id = $request_id
