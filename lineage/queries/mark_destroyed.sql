SELECT request_id, place, locator, coalesce(destroyed_at, $at) AS destroyed_at
FROM purge_object
WHERE request_id = $request_id AND place = $place AND locator = $locator
