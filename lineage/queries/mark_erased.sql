UPDATE contributor
SET external_id = NULL, erased_at = coalesce(erased_at, $at)
WHERE contributor_key = $contributor_key
RETURNING contributor_key
