SELECT state_seq, coalesce(destroyed_at, $at) AS destroyed_at
FROM merge_state
WHERE state_seq = $state_seq
