INSERT INTO audit_change (seq, table_name, row_key, before, after)
SELECT
    $seq,
    $table_name,
    change.row_key,
    change.before,
    change.after
FROM (
    SELECT unnest(
        from_json_strict(
            $changes, '[{"row_key": "VARCHAR", "before": "VARCHAR", "after": "VARCHAR"}]'
        )
    ) AS change
)
