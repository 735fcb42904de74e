SELECT * FROM audit_entry ORDER BY seq
