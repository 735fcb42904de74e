SELECT contributor_key, run_id, $state_seq AS from_seq, $at AS valid_from
FROM incoming_member
WHERE NOT EXISTS (
    SELECT 1 FROM membership
    WHERE membership.contributor_key = incoming_member.contributor_key
        AND membership.run_id = incoming_member.run_id
        AND membership.to_seq IS NULL
)
