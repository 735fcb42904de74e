SELECT unnest(
    from_json_strict($members, '[{"contributor_key": "VARCHAR", "run_id": "VARCHAR"}]'),
    max_depth := 2
)
