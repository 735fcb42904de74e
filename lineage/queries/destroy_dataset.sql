UPDATE dataset_version
SET destroyed_at = coalesce(destroyed_at, $at)
WHERE contributor_key = $contributor_key AND sha256 = $sha256
RETURNING sha256
