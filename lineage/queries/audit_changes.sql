-- The rows of a table before a transaction; what joins them says what they are after it.
SELECT CAST($seq AS BIGINT) AS seq, $table_name AS table_name, row_key, old.digest AS before,
    new.digest AS after
FROM (
    SELECT unnest(
        from_json_strict($before, '[{"row_key": "VARCHAR", "digest": "VARCHAR"}]'),
        max_depth := 2
    )
) AS old
