SELECT DISTINCT task_vector.*
FROM task_vector
JOIN membership USING (run_id, contributor_key)
WHERE membership.from_seq = $state_seq
    OR membership.to_seq = $state_seq AND NOT $afresh
    OR $afresh
        AND membership.from_seq <= $state_seq
        AND (membership.to_seq IS NULL OR membership.to_seq > $state_seq)
ORDER BY task_vector.contributor_key, task_vector.run_id
