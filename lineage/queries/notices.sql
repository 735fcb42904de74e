SELECT * FROM opt_out_notice WHERE request_id = $request_id ORDER BY sent_at, kind
