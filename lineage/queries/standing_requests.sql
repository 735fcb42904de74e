SELECT opt_out_request.* FROM opt_out_request
WHERE opt_out_request.contributor_key = $contributor_key
    AND NOT EXISTS (
        FROM opt_out_step
        WHERE opt_out_step.request_id = opt_out_request.request_id
            AND opt_out_step.step IN ('rejected', 'failed')
    )
    AND NOT EXISTS (
        FROM consent
        WHERE consent.contributor_key = opt_out_request.contributor_key
            AND consent.given_at >= opt_out_request.received_at
    )
ORDER BY received_at, request_id
