SELECT * FROM linear_digest WHERE subject = $subject ORDER BY lane
