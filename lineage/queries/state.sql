SELECT * FROM merge_state WHERE state_seq = $state_seq
