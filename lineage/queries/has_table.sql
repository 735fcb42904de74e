SELECT count(*) > 0 AS found FROM duckdb_tables() WHERE table_name = $table_name
