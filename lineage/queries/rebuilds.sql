SELECT * FROM rebuild
ORDER BY state_seq
