UPDATE merge_state
SET destroyed_at = coalesce(destroyed_at, $at)
WHERE state_seq = $state_seq
RETURNING state_seq
