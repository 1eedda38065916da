"""Spans with their payloads, as the pages about a run read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from remit.collector.json_io import read_json
from remit.collector.page.payload_tree import members
from remit.collector.store.questions.span_lists import SpanRecord
from remit.collector.store.rows import SpanRow


class ListedSpan(NamedTuple):
    """A span of a list; times are microseconds since 1970."""

    id: str
    run_id: str
    parent_id: str | None
    schema_name: str
    started_at: int | None
    finished_at: int | None
    payload: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def address(self) -> str:
        """The address of its run with its panel."""
        return f"/runs/{self.run_id}?span={self.id}"

    @property
    def took_us(self) -> int | None:
        """How long it took; None if that is not known."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0, self.finished_at - self.started_at)


def listed_span(span: SpanRecord) -> ListedSpan:
    """Return a span of a list with payloads."""
    return ListedSpan(
        span.id,
        span.run_id,
        span.parent_id,
        span.schema_name,
        span.started_at,
        span.finished_at,
        members(read_json(span.payload or "{}")),
        members(read_json(span.result_payload or "{}")),
    )


@dataclass(frozen=True)
class ReadSpan:
    """A span with its payloads, each decoded once."""

    row: SpanRow

    @cached_property
    def payload(self) -> dict[str, object]:
        """What it received."""
        return members(read_json(self.row.payload))

    @cached_property
    def result(self) -> dict[str, object]:
        """What it returned; empty without a result."""
        return members(read_json(self.row.result_payload or "{}"))

    @cached_property
    def error(self) -> dict[str, object]:
        """Its error; empty without one."""
        return members(self.result.get("error"))

    @property
    def listed(self) -> ListedSpan:
        """The span as it is listed with others."""
        row = self.row
        return ListedSpan(
            row.id,
            row.agent_instance_id,
            row.parent_span_id,
            row.schema_name,
            row.started_at,
            row.finished_at,
            self.payload,
            self.result,
        )
