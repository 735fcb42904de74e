CREATE OR REPLACE VIEW digest_check AS
WITH digest AS (
    SELECT
        merge_state.state_seq,
        linear_digest.lane,
        linear_digest.value AS member_value,
        NULL AS state_value
    FROM merge_state
    JOIN membership
        ON membership.from_seq <= merge_state.state_seq
        AND (membership.to_seq IS NULL OR merge_state.state_seq < membership.to_seq)
    JOIN task_vector ON task_vector.run_id = membership.run_id
    JOIN linear_digest ON linear_digest.subject = task_vector.vector_sha256
    UNION ALL
    SELECT merge_state.state_seq, linear_digest.lane, NULL, linear_digest.value
    FROM merge_state
    JOIN linear_digest ON linear_digest.subject = merge_state.state_sha256
),
summed AS (
    SELECT
        state_seq,
        lane,
        count(member_value) AS digests,
        coalesce(sum(CAST(member_value AS HUGEINT)), 0) % 18446744073709551616 AS members_sum,
        any_value(state_value) AS state_value
    FROM digest
    GROUP BY state_seq, lane
),
members AS (
    SELECT merge_state.state_seq, count(membership.run_id) AS members
    FROM merge_state
    LEFT JOIN membership
        ON membership.from_seq <= merge_state.state_seq
        AND (membership.to_seq IS NULL OR merge_state.state_seq < membership.to_seq)
    GROUP BY merge_state.state_seq
)
SELECT
    state_seq,
    lane,
    members.members,
    digests,
    CAST(members_sum AS UBIGINT) AS members_sum,
    state_value,
    members_sum IS NOT DISTINCT FROM state_value AND digests = members.members AS equal
FROM summed
JOIN members USING (state_seq);
COMMENT ON VIEW digest_check IS 'Is each merge state the sum of exactly its members? One row a lane; every row must be equal.';
COMMENT ON COLUMN digest_check.state_seq IS 'number of the merge state';
COMMENT ON COLUMN digest_check.lane IS 'which of the independent digests';
COMMENT ON COLUMN digest_check.members IS 'members of the state';
COMMENT ON COLUMN digest_check.digests IS 'how many of them have a digest in this lane';
COMMENT ON COLUMN digest_check.members_sum IS 'sum of their digests modulo 2^64';
COMMENT ON COLUMN digest_check.state_value IS 'digest of the state itself; NULL if none was recorded';
COMMENT ON COLUMN digest_check.equal IS 'true if the sums agree and no member lacks its digest';
