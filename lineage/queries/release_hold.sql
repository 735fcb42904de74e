SELECT contributor_key, placed_at, $at AS released_at, $actor AS released_by,
    $reason AS release_reason
FROM legal_hold
WHERE contributor_key = $contributor_key AND released_at IS NULL
