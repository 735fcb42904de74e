SELECT contributor_key, from_seq, $state_seq AS to_seq, $at AS valid_to
FROM membership
WHERE to_seq IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM incoming_member
        WHERE incoming_member.contributor_key = membership.contributor_key
            AND incoming_member.run_id = membership.run_id
    )
