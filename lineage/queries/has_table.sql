SELECT count(*) > 0 AS found
FROM duckdb_tables()
WHERE table_name = $table_name
    AND database_name = current_database()
    AND schema_name = coalesce(getvariable('declared'), 'main')
