SELECT DISTINCT contributor_key
FROM opt_out_request
JOIN opt_out_step USING (request_id)
WHERE step = 'removed'
ORDER BY contributor_key
