SELECT state_seq FROM merge_state
WHERE state_seq = $state_seq AND state_seq = (SELECT max(state_seq) FROM merge_state)
