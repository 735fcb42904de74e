SELECT contributor_key, sha256, coalesce(destroyed_at, $at) AS destroyed_at
FROM dataset_version
WHERE contributor_key = $contributor_key AND sha256 = $sha256
