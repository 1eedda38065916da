"""The counters of a collector by name; `collector.server.prometheus` keeps them."""

from __future__ import annotations

from typing import Final

REQUESTS: Final = "remit_requests_total"
SPANS: Final = "remit_spans_ingested_total"
ITEMS: Final = "remit_bulk_items_total"
REJECTIONS: Final = "remit_rejections_total"
DB_ERRORS: Final = "remit_database_errors_total"


class Metrics:
    """Counts nothing: local mode has no reader of metrics, and needs no prometheus_client."""

    def add(self, name: str, *labels: str, count: int = 1) -> None:
        """Add to a counter."""

    def took(self, route: str, seconds: float) -> None:
        """Observe how long a request to *route* took."""

    def text(self) -> bytes:
        """Return all samples in Prometheus' text format."""
        return b""
