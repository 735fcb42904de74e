UPDATE purge_object
SET destroyed_at = coalesce(destroyed_at, $at)
WHERE request_id = $request_id AND place = $place AND locator = $locator
RETURNING locator
