-- Changes that do not begin where the change before of the same row ended.
SELECT seq, table_name, row_key
FROM (
    SELECT
        seq,
        table_name,
        row_key,
        before,
        lag(after) OVER (PARTITION BY table_name, row_key ORDER BY seq) AS expected
    FROM audit_change
)
WHERE before IS DISTINCT FROM expected
ORDER BY seq, table_name, row_key
