"""A workspace that waits for workers."""

from tests.support.waiting import _waiting, made_here, waiting  # noqa: F401  fixtures
