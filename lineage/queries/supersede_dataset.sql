SELECT contributor_key, sha256, coalesce(superseded_at, $at) AS superseded_at
FROM dataset_version
WHERE contributor_key = $contributor_key AND sha256 = $sha256
