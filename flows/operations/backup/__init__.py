"""A copy of everything that cannot be made again, and going on from one."""
