SELECT * FROM opt_out_request
WHERE contributor_key = $contributor_key
ORDER BY received_at DESC, request_id DESC
