INSERT INTO membership (contributor_key, run_id, from_seq, valid_from)
SELECT contributor_key, run_id, $state_seq, $at
FROM incoming_member
WHERE NOT EXISTS (
    SELECT 1 FROM membership
    WHERE membership.contributor_key = incoming_member.contributor_key
        AND membership.run_id = incoming_member.run_id
        AND membership.to_seq IS NULL
)
