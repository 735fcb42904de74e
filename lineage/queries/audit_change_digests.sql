SELECT
    seq,
    table_name,
    count(*) AS "rows",
    sha256(
        string_agg(
            row_key || ' ' || coalesce(before, '-') || ' ' || coalesce(after, '-') || chr(10),
            ''
            ORDER BY row_key
        )
    ) AS sha256
FROM audit_change
WHERE seq >= $first
GROUP BY seq, table_name
ORDER BY seq, table_name
