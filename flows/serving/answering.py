"""One request, put to the version that serves when it comes in."""

from functools import partial

from flows.errors import FlowError, UsageError
from flows.integrations.mlflow.scoring import Scored, scored
from flows.serving.champion import Champion, Serving
from sift_core import SiftCoreError


def answer(champion: Champion, body: bytes, content_type: str) -> tuple[Scored, Serving]:
    """Answer a request; by which version.

    One whose masks or files an opt-out destroys meanwhile gives way to the version that serves now.
    Raises UsageError for what cannot be answered, and what the version raises.
    """
    serving = champion.current()
    while True:
        try:
            found = scored(body, content_type, partial(serving.model.predict, None))
            return found, serving
        except UsageError:
            raise
        except (FlowError, SiftCoreError):
            now = champion.current()
            if now is serving:
                raise
            serving = now
