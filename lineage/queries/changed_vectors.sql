SELECT * FROM task_vector
WHERE (dropped_at IS NULL OR destroyed_at IS NOT NULL)
    AND to_json([run_id]) IN (
        SELECT CAST(row_key AS JSON) FROM audit_change
        WHERE seq > $seq AND table_name = 'task_vector'
    )
ORDER BY run_id
