SELECT coalesce(
        max(TRY_CAST(regexp_extract(disclosure_id, '^disclosure-([0-9]+)$', 1) AS INTEGER)), 0
    ) AS number
FROM disclosure
