SELECT aside.*
FROM opt_out_set_aside AS aside
WHERE NOT EXISTS (
    FROM opt_out_step
    WHERE opt_out_step.request_id = aside.request_id
    AND opt_out_step.step IN (aside.step, 'rejected', 'failed')
)
QUALIFY row_number() OVER (PARTITION BY aside.request_id ORDER BY aside.set_aside_at DESC) = 1
ORDER BY aside.request_id
