-- The rows of a table before a transaction; what joins them says what they are after it.
INSERT INTO audit_change (seq, table_name, row_key, before, after)
SELECT $seq, $table_name, row_key, old.digest, new.digest
FROM (
    SELECT unnest(
        from_json_strict($before, '[{"row_key": "VARCHAR", "digest": "VARCHAR"}]'),
        max_depth := 2
    )
) AS old
