SELECT DISTINCT contributor_key
FROM opt_out_request
JOIN opt_out_step USING (request_id)
WHERE step = 'removed' AND records IS NULL
ORDER BY contributor_key
