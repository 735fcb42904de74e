UPDATE dataset_version
SET superseded_at = coalesce(superseded_at, $at)
WHERE contributor_key = $contributor_key AND sha256 = $sha256
RETURNING sha256
