SELECT * FROM merge_state
WHERE to_json([CAST(state_seq AS VARCHAR)]) IN (
    SELECT CAST(row_key AS JSON) FROM audit_change
    WHERE seq > $seq AND table_name = 'merge_state'
)
ORDER BY state_seq
