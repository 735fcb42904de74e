SELECT CAST(json_serialize_sql($text) AS VARCHAR) AS parsed
