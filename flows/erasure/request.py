"""One request on its way through the steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from pydantic import BaseModel

from flows.erasure.results import Results, as_details
from flows.workspace.workspace import Workspace
from lineage import Impact, RequestRecord


@dataclass(frozen=True)
class Request:
    """A request that was filed; what is known of it is read from lineage whenever it is asked."""

    workspace: Workspace
    request_id: str

    @cached_property
    def record(self) -> RequestRecord:
        """The request as it was filed."""
        with self.workspace.lineage.reader() as reader:
            return reader.request(self.request_id)

    @property
    def key(self) -> str:
        """The contributor key of the request."""
        return self.record.contributor_key

    def impact(self) -> Impact:
        """Everything that holds, or was made from, what the request withdraws."""
        with self.workspace.lineage.reader() as reader:
            return reader.impact(self.key, self.record.records)

    def next_step(self) -> str | None:
        """The first step that is not done, None when the request has ended."""
        with self.workspace.lineage.reader() as reader:
            return reader.next_step(self.request_id)

    def results(self) -> Results:
        """What its steps have found and made so far."""
        with self.workspace.lineage.reader() as reader:
            return Results.of(self.request_id, reader.steps(self.request_id))

    def done(self, step: str, result: BaseModel, at: datetime | None = None) -> None:
        """Record a step with what it left, done `at` or now."""
        with self.workspace.lineage.writer() as recorder:
            recorder.advance(self.request_id, step, as_details(result), at or datetime.now(UTC))


def open_requests(workspace: Workspace) -> list[str]:
    """The requests that have not ended, oldest first."""
    with workspace.lineage.reader() as reader:
        requests = [row.request_id for row in reader.requests()]
        return [name for name in requests if reader.next_step(name) is not None]


def done_together(requests: Sequence[Request], step: str, result: BaseModel) -> None:
    """Record a step that left the same for each of these requests."""
    for request in requests:
        request.done(step, result)
