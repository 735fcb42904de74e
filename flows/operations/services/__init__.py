"""The services of a workspace on this machine: `sift up`."""
