SELECT * FROM opt_out_approval WHERE request_id = $request_id ORDER BY decided_at, actor
