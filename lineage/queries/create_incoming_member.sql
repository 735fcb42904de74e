CREATE OR REPLACE TEMP TABLE incoming_member AS
SELECT unnest(
    from_json_strict($members, '[{"contributor_key": "VARCHAR", "run_id": "VARCHAR"}]'),
    max_depth := 2
)
