SELECT * FROM model_version
WHERE state_seq IN (SELECT state_seq FROM merge_members WHERE contributor_key = $contributor_key)
ORDER BY name, version
