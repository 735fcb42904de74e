SELECT * FROM merge_state ORDER BY state_seq
