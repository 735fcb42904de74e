"""Running a workspace: doctor, backup and restore, services, metrics."""
