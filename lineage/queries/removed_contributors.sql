SELECT DISTINCT contributor_key
FROM opt_out_request
JOIN opt_out_step USING (request_id)
WHERE step = 'removed' AND records IS NULL
    AND NOT EXISTS (
        FROM consent
        WHERE consent.contributor_key = opt_out_request.contributor_key
            AND consent.given_at >= opt_out_request.received_at
    )
ORDER BY contributor_key
