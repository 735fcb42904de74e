SELECT lane, members, digests, members_sum, state_value, equal
FROM digest_check
WHERE state_seq = $state_seq
ORDER BY lane
