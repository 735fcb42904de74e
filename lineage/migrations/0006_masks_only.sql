ALTER TABLE task_vector ADD COLUMN dropped_at TIMESTAMP;
COMMENT ON COLUMN task_vector.dropped_at IS 'when the magnitudes file alone was deleted, since the workspace keeps masks only; NULL while it is kept';
