SELECT coalesce(max(TRY_CAST(regexp_extract(request_id, '^opt-out-([0-9]+)$', 1) AS INTEGER)), 0)
    AS number
FROM opt_out_request
