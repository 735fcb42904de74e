"""A server in numbers, as OpenMetrics text, with no id of anybody."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.exposition import generate_latest

from flows.serving.champion import Champion

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class ServedMetrics:
    """What one server counts from its start."""

    def __init__(self, champion: Champion) -> None:
        self._champion = champion
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "sift_served_requests",
            "Requests for answers by status",
            ["status"],
            registry=self._registry,
        )
        self._errors = Counter(
            "sift_served_errors", "Requests that were not answered", registry=self._registry
        )
        self._rows = Counter("sift_served_rows", "Rows that were answered", registry=self._registry)
        self._seconds = Histogram(
            "sift_served_seconds",
            "How long a request for answers took",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._version = Gauge("sift_served_version", "The version in use", registry=self._registry)
        self._kept = Gauge(
            "sift_served_kept_bytes", "Bytes of members' weights in memory", registry=self._registry
        )

    def note(self, status: int, rows: int, seconds: float) -> None:
        """Count one request that has been answered, or refused."""
        self._requests.labels(str(status)).inc()
        self._errors.inc(status >= 400)
        self._rows.inc(rows)
        self._seconds.observe(seconds)

    def text(self) -> str:
        """All of it now."""
        if (serving := self._champion.last) is not None:
            self._version.set(serving.number)
            self._kept.set(serving.model.version.members.bytes_kept)
        text: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call]
        return text.decode()
