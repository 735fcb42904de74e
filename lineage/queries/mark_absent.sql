SELECT request_id, place, locator, coalesce(absent_at, $at) AS absent_at
FROM purge_object
WHERE request_id = $request_id AND place = $place AND locator = $locator
