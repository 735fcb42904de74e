SELECT $seq AS seq, $written_at AS written_at, $event AS event, $details AS details,
    $previous_sha256 AS previous_sha256, $sha256 AS sha256
