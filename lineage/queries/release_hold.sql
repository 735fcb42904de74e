UPDATE legal_hold
SET released_at = $at, released_by = $actor, release_reason = $reason
WHERE contributor_key = $contributor_key AND released_at IS NULL
RETURNING contributor_key
