"""The spans that start or end while a command follows them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from remit.cli._reader import ApiReader
from remit.cli._records import ListedRun, RunSpan
from remit.cli._wire import PAGE_ROWS, get
from remit.models.agent_instance import AgentInstance
from remit.models.agent_span import AgentSpan
from remit.models.remit_api import ChangeList

KNOWN_RUNS: Final = 1_000
"""Maximum number of runs whose last shown spans are remembered."""
_OPEN: Final = frozenset({"pending", "active"})
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


class Feed:
    """Reads the spans that started or ended since the last read.

    The server lists the changed runs; the spans of these that changed last are read.
    """

    def __init__(self, reader: ApiReader, run: ListedRun | None) -> None:
        self._reader = reader
        self._filters = {} if run is None else {"run_id": run.instance.id}
        # By run and span.
        self._seen: OrderedDict[str, dict[str, tuple[str, datetime | None]]] = OrderedDict()
        with reader.listing("changes"):
            self._cursor = self._changes({}).cursor
            runs = reader.recent() if run is None else [run.instance]
            # By the server's clock.
            self._begun = max((each.updated_at for each in runs), default=_EARLIEST)
            for each in runs:
                if run is not None or each.status in _OPEN:
                    newest = islice(reader.changed_spans(each), PAGE_ROWS)
                    self._seen[each.id] = {span.id: _state(span) for span in newest}

    def fresh(self) -> list[RunSpan]:
        spans: list[AgentSpan] = []
        with self._reader.listing("changes"):
            while (changes := self._changes({"after": self._cursor})).runs:
                for run in changes.runs:
                    spans += self._changed_spans(run)
                self._cursor = changes.cursor
            return self._reader.with_runs(spans)

    def _changes(self, query: dict[str, str]) -> ChangeList:
        return self._reader.client.send(get("/changes", ChangeList, {**self._filters, **query}))

    def _changed_spans(self, run: AgentInstance) -> Iterator[AgentSpan]:
        """Yield the spans of a run that changed since they were seen, the last changed first."""
        seen = self._seen.pop(run.id, {})
        met: dict[str, tuple[str, datetime | None]] = {}
        known = 0
        for span in self._reader.changed_spans(run):
            if known >= PAGE_ROWS or (span.updated_at or _EARLIEST) <= self._begun:
                break
            if seen.get(span.id) == _state(span):
                known += 1
            elif span.id not in met:
                known = 0
                yield span
            met[span.id] = _state(span)
        self._seen[run.id] = met
        if len(self._seen) > KNOWN_RUNS:
            self._seen.popitem(last=False)


def _state(span: AgentSpan) -> tuple[str, datetime | None]:
    return span.status, span.updated_at
