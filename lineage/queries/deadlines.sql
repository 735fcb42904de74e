SELECT * FROM opt_out_deadlines
WHERE $request_id IS NULL OR request_id = $request_id
ORDER BY due_at, request_id, kind
