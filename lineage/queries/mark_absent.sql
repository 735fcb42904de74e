UPDATE purge_object
SET absent_at = coalesce(absent_at, $at)
WHERE request_id = $request_id AND place = $place AND locator = $locator
RETURNING locator
