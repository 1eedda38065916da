"""Reads runs, spans and agents through the API, of a server or of a database in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import cache
from itertools import islice, takewhile
from types import TracebackType
from typing import Any, Final, Protocol, Self, runtime_checkable

from msgspec import Raw

from remit._base.ids import KEY_CHARS, PARTITION_CHARS, TIME_CHARS, is_pfid, is_short
from remit._declare.registry import RUN_TYPE
from remit.cli._agent_reader import AgentReader, Client
from remit.cli._failing import Failed
from remit.cli._records import (
    LINKED_RUNS,
    Links,
    ListedRun,
    Record,
    RunSpan,
    called,
    is_cancelled,
    names_of_trace,
    start_of,
    trace_of,
    traces_of,
)
from remit.cli._span_file import SpanFile, StoredSpan
from remit.cli._wire import (
    PAGE_ROWS,
    Details,
    ErasureList,
    get,
    run_file,
    span_summaries,
    spans_page,
)
from remit.client.endpoints.endpoint import Call
from remit.client.endpoints.responses import details, lenient, read
from remit.client.endpoints.table import GET_INSTANCE, TERMINATE_INSTANCE
from remit.errors import (
    ApiError,
    ContractError,
    NotFoundError,
    RejectedError,
)
from remit.models.agent_instance import AgentInstance
from remit.models.agent_span import AgentSpan
from remit.models.remit_api import ChangeList, Run, RunList
from remit.models.risk import Risk

LAST: Final = "last"
SEARCHED_RUNS: Final = 2_000
"""Number of the newest runs among which the beginning of a key is looked up."""
SPAN_ROWS: Final = 500
"""Spans of a page; the server returns fewer if they are large."""
_LAST_DIGIT: Final = "z"
_PFID_CHARS: Final = KEY_CHARS + PARTITION_CHARS


@runtime_checkable
class HtmlSource(Protocol):
    """A client that writes HTML files itself."""

    def html(self, run_id: str, *, values: bool) -> bytes: ...


class ApiReader(AgentReader):
    def __init__(self, client: Client, place: str) -> None:
        super().__init__(client, place)
        self._run = cache(self._asked_run)
        self._files = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.close()

    # Runs

    def runs(self, filters: Mapping[str, str], count: int) -> list[ListedRun]:
        """Return the newest *count* runs that match *filters*, the newest first."""
        with self.listing("runs"):
            rows = list(islice(self._rows(filters, count), count))
        return [self._ended(row) for row in rows]

    def recent(self) -> list[AgentInstance]:
        """Return a page of the newest runs, and one of the newest active runs."""
        rows = {row.id: row for row in self._rows({}, PAGE_ROWS)}
        active = {row.id: row for row in self._rows({"status": "active"}, PAGE_ROWS)}
        return list((rows | active).values())

    def find(self, reference: str) -> ListedRun:
        """Return the run with this key or id, the beginning or the end of one, or `last`.

        Raises:
            Failed: No run, or more than one, matches.
        """
        if not reference:
            raise Failed("an empty string matches no run: `remit runs list` lists the runs")
        if is_pfid(reference):
            return self._run(reference)
        with self.listing("runs"):
            if reference == LAST:
                row = next(self._rows({}, 1), None)
                if row is None:
                    raise Failed(f"there are no runs yet in {self.place}")
                return self._run(row.id)
            return self._run(self._named(reference).id)

    def _named(self, reference: str) -> Run:
        query = {"key": reference, "limit": "3", "total": "true"}
        exact = self.client.send(get("/runs", RunList, query))
        if len(exact.runs) > 1:
            ids = ", ".join(row.id for row in exact.runs)
            how = "end with" if is_short(reference) else "are called"
            raise Failed(f"{exact.total} runs {how} {reference!r}: use the id of one ({ids})")
        found = exact.runs or self._beginning(reference)
        if len(found) > 1:
            some = ", ".join(called(row.external_identifier, row.id) for row in found[:3])
            count = f"more than {PAGE_ROWS}" if len(found) > PAGE_ROWS else str(len(found))
            raise Failed(f"{count} runs begin with {reference!r} ({some}): use a longer beginning")
        if not found:
            raise self._unknown(reference)
        return found[0]

    def _beginning(self, reference: str) -> list[Run]:
        """Return the runs whose id or key begins with *reference*, at most a page and one.

        Ids and remit's own keys begin with their time, so these runs are neighbours. Other keys
        are looked up among the newest runs.
        """
        time = reference[:TIME_CHARS]
        newest = time.ljust(_PFID_CHARS, _LAST_DIGIT)
        neighbours: Iterator[Run] = iter(())
        if is_pfid(newest):
            rows = self._rows({}, SEARCHED_RUNS, before=newest)
            neighbours = takewhile(lambda row: row.id >= time, rows)
        for rows in (neighbours, self._rows({}, SEARCHED_RUNS)):
            named = (row for row in rows if _begins(row, reference))
            found = list(islice(named, PAGE_ROWS + 1))
            if found:
                return found
        return []

    def _rows(
        self, filters: Mapping[str, str], count: int, before: str | None = None
    ) -> Iterator[Run]:
        """Yield the newest *count* runs, page by page; *before* is a cursor."""
        while count > 0:
            query = {**filters, "limit": str(min(PAGE_ROWS, count))}
            if before is not None:
                query["before"] = before
            response = self.client.send(get("/runs", RunList, query))
            yield from response.runs
            count -= len(response.runs)
            before = response.next
            if before is None:
                return

    def _ended(self, row: Run) -> ListedRun:
        counts = row.span_counts
        if row.status != "complete" or counts is None or not counts.cancelled:
            return ListedRun(row.agent, row)
        root = next(self.spans({"run_id": row.id, "type": RUN_TYPE}, 1), None)
        return ListedRun(row.agent, row, is_cancelled(row, root))

    def record(self, run: ListedRun, progress: Callable[[int], object] = int) -> Record[StoredSpan]:
        """Return a run with all its spans, whose values are in a temporary file.

        Args:
            progress: Called with the number of spans of each page.
        """
        file = self._files.enter_context(SpanFile())
        spans: list[StoredSpan] = []
        for rows in self.span_pages(run):
            spans += map(file.add, rows)
            progress(len(rows))
        return Record[StoredSpan].of(run.agent, run.instance, spans)

    def raw_run(self, run: ListedRun) -> bytes:
        call = GET_INSTANCE.raw(run.instance.id, read=lenient(Details))
        return bytes(self.client.send(call).details)

    def links(self, record: Record[StoredSpan]) -> Links:
        """Return the run that caused this one and the runs that it caused, as far as known."""
        trace, instance = trace_of(record), record.instance
        caused = [row for each in dict.fromkeys(traces_of(instance)) for row in self._caused(each)]
        caused.sort(key=lambda run: run.instance.id)
        return Links(
            trace,
            None if trace is None else self._run_of_trace(trace, instance),
            tuple(caused[:LINKED_RUNS]),
            len(caused[LINKED_RUNS:]),
        )

    def _caused(self, trace: str) -> list[ListedRun]:
        with suppress(ApiError, ContractError):
            rows = list(self._rows({"caused_by": trace}, PAGE_ROWS))
            return [ListedRun(row.agent, row) for row in rows]
        return []

    def _run_of_trace(self, trace: str, near: AgentInstance) -> ListedRun | None:
        """Return the run of a trace id: that with the key, else the resumed instance."""
        key, instance_id = names_of_trace(trace, near)
        with suppress(ApiError, ContractError):
            for row in self._rows({"key": key}, 1):
                return ListedRun(row.agent, row)
        with suppress(ApiError, ContractError, Failed):
            return self._run(instance_id)
        return None

    def erasures(self, run: ListedRun) -> list[dict[str, Any]]:
        with suppress(NotFoundError, ContractError):
            query = {"run_id": run.instance.id}
            return self.client.send(get("/erasures", ErasureList, query)).erasures
        return []

    def terminated_by(self, run: ListedRun) -> str | None:
        """Return who terminated a run; None if it was not terminated, or it is not recorded."""
        if run.instance.status != "terminated":
            return None
        with suppress(NotFoundError, ContractError):
            query = {"run_id": run.instance.id, "after": "0-0"}
            changed = self.client.send(get("/changes", ChangeList, query)).runs
            return changed[0].terminated_by if changed else None
        return None

    def risk(self, run: ListedRun) -> Risk:
        path = f"{GET_INSTANCE.call(run.instance.id).path}/risk"
        try:
            return self.client.send(Call("GET", path, details(Risk)))
        except NotFoundError as error:
            raise Failed(f"{self.place} does not have the risk of a run: {error}") from error

    def terminate(self, run: ListedRun, reason: str) -> None:
        try:
            self.client.send(TERMINATE_INSTANCE.call(run.instance.id, reason=reason))
        except RejectedError as error:
            raise Failed(
                f"the run {run.handle} cannot be terminated, because it is "
                f"{run.instance.status}: {error}"
            ) from error

    # Spans

    def spans(self, filters: Mapping[str, str], rows: int = PAGE_ROWS) -> Iterator[AgentSpan]:
        """Yield the spans that match *filters*, the newest first, read in pages of *rows*."""
        for spans in self._span_pages(filters, rows):
            yield from (read(AgentSpan, bytes(span)) for span in spans)

    def last(self, run: ListedRun | None, count: int, *, with_roots: bool) -> list[RunSpan]:
        """Return the newest spans of *run*, or of all runs, in the order of their start.

        Args:
            with_roots: Whether to include root spans (`remit:run`).
        """
        filters = {"payloads": "true"} if run is None else _whole(run)
        newest: list[AgentSpan] = []
        with self.listing("spans"):
            for span in self.spans(filters) if count else ():
                # Within a millisecond the order of ids is random.
                same = bool(newest) and span.id[:TIME_CHARS] == newest[-1].id[:TIME_CHARS]
                if len(newest) >= count and not same:
                    break
                if with_roots or span.schema_name != RUN_TYPE:
                    newest.append(span)
        return self.with_runs(newest)[-count:]

    def changed_spans(self, run: AgentInstance) -> Iterator[AgentSpan]:
        """Yield the spans of a run, the last changed first."""
        query = {
            "agent_instance_id": run.id,
            "include_summaries": "true",
            "sorting[field]": "updated_at",
            "sorting[direction]": "desc",
        }
        return self._every("agent_spans", AgentSpan, query)

    def span_pages(self, run: ListedRun) -> Iterator[list[Raw]]:
        """Yield all spans of a run, the newest first, in pages of unparsed JSON."""
        with self.listing("spans"):
            try:
                pages = self._span_pages(_whole(run))
                first = next(pages, list[Raw]())
            except NotFoundError:
                # Another server of the API.
                yield from self._summaries(run)
                return
            yield first
            yield from pages

    def _span_pages(self, filters: Mapping[str, str], rows: int = SPAN_ROWS) -> Iterator[list[Raw]]:
        query = {**filters, "limit": str(rows)}
        while True:
            response = self.client.send(spans_page(query))
            yield response.spans
            if response.next is None:
                return
            query["before"] = response.next

    def _summaries(self, run: ListedRun) -> Iterator[list[Raw]]:
        query = {
            "agent_instance_id": run.instance.id,
            "include_summaries": "true",
            "sorting[field]": "id",
            "sorting[direction]": "desc",
            "pagination[page_size]": str(PAGE_ROWS),
        }
        offset: int | None = 0
        while offset is not None:
            response = self.client.send(
                span_summaries({**query, "pagination[offset]": str(offset)})
            )
            yield response.summaries
            following = (response.pagination or {}).get("next_page_offset")
            offset = following if following != offset else None

    def html(self, run: ListedRun, *, values: bool) -> bytes:
        run_id = run.instance.id
        if isinstance(self.client, HtmlSource):
            return self.client.html(run_id, values=values)
        try:
            return self.client.send(run_file(run_id, values=values))
        except NotFoundError as error:
            raise Failed(
                f"{self.place} does not write runs as HTML: it is not a remit collector, or of an "
                "earlier version"
            ) from error

    def with_runs(self, spans: Iterable[AgentSpan], *, in_order: bool = True) -> list[RunSpan]:
        """Return spans with their runs, by default in the order of their start."""
        found = [RunSpan(self._run(span.agent_instance_id), span) for span in spans]
        return sorted(found, key=lambda each: start_of(each.span)) if in_order else found

    def _asked_run(self, run_id: str) -> ListedRun:
        try:
            instance = self.client.send(GET_INSTANCE.call(run_id))
        except NotFoundError as error:
            if error.code is None:
                raise
            raise self._unknown(run_id) from error
        return ListedRun(instance.agent or self._agent(instance.agent_id), instance)

    def _unknown(self, reference: str) -> Failed:
        return Failed(
            f"there is no run {reference!r} in {self.place}: `remit runs list` lists the runs"
        )


def _whole(run: ListedRun) -> dict[str, str]:
    return {"run_id": run.instance.id, "payloads": "true"}


def _begins(row: Run, reference: str) -> bool:
    return any(name.startswith(reference) for name in (row.id, row.external_identifier or ""))
