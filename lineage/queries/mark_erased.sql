SELECT contributor_key, CAST(NULL AS VARCHAR) AS external_id,
    coalesce(erased_at, $at) AS erased_at
FROM contributor
WHERE contributor_key = $contributor_key
