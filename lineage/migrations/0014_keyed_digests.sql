COMMENT ON COLUMN dataset_version.sha256 IS 'SHA-256 of the file, which is what names the version; a salt in the file keeps it from being guessed';
COMMENT ON COLUMN dataset_records.records IS 'keyed hash of each different record, in order; of a destroyed version only those that a request named';
COMMENT ON COLUMN opt_out_request.records IS 'the records it withdraws, by their keyed hash, in order; NULL: the contributor with all data';
