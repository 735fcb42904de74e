SELECT
    columns.table_name,
    list(columns.column_name ORDER BY columns.column_index) AS columns,
    list(columns.data_type ORDER BY columns.column_index) AS types,
    any_value(keys.key) AS key
FROM duckdb_columns() AS columns
JOIN duckdb_tables() AS tables USING (database_name, schema_name, table_name)
LEFT JOIN (
    SELECT database_name, schema_name, table_name, constraint_column_names AS key
    FROM duckdb_constraints()
    WHERE constraint_type = 'PRIMARY KEY'
) AS keys USING (database_name, schema_name, table_name)
WHERE columns.database_name = current_database()
    AND columns.schema_name = coalesce(getvariable('declared'), 'main')
    AND NOT tables.temporary
    AND columns.table_name NOT IN ('audit_entry', 'audit_change')
GROUP BY columns.table_name
ORDER BY columns.table_name
