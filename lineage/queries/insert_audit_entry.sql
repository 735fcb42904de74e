INSERT INTO audit_entry (seq, written_at, event, details, previous_sha256, sha256)
VALUES ($seq, $written_at, $event, $details, $previous_sha256, $sha256)
