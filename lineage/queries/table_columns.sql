SELECT column_name, data_type
FROM duckdb_columns()
WHERE table_name = $table_name
    AND schema_name = coalesce(getvariable('declared'), 'main')
    AND database_name = current_database()
ORDER BY column_index
