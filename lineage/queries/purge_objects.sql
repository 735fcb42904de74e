SELECT * FROM purge_object
WHERE request_id = $request_id
ORDER BY place, locator
