SELECT * FROM opt_out_set_aside
WHERE $request_id IS NULL OR request_id = $request_id
ORDER BY set_aside_at, request_id
