"""The runs of a server, read through its API with the token of the settings.

The API lists the runs of one agent at a time. remit's collector has every endpoint used here. The
failure of a server that lacks one says which.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from remit._base.ids import is_pfid
from remit._declare.registry import RUN_TYPE
from remit.cli._failing import Failed
from remit.cli._records import (
    LINKED_RUNS,
    Links,
    ListedRun,
    Record,
    Step,
    names_of_trace,
    newest_of,
    run_with,
    start_of,
    telling,
    trace_of,
    traces_of,
)
from remit.client._http import HttpClient
from remit.client.endpoints import MAX_LIST_BYTES, Call, details, page
from remit.client.endpoints.table import GET_INSTANCE, PING, SHOW_AGENT, TERMINATE_INSTANCE
from remit.errors import ApiError, ContractError, NotFoundError, UnauthorizedError
from remit.models.agent import Agent
from remit.models.agent_instance import AgentInstance
from remit.models.agent_span import AgentSpan
from remit.models.risk import Risk
from remit.models.routes import API

M = TypeVar("M", bound=BaseModel)

SCHEMA_VERSIONS: Final = "agent_schema_version"

LAST: Final = "last"
PAGE_ROWS: Final = 100
SEARCHED_RUNS: Final = 2_000
"""Number of the newest runs among which a key, or the beginning of one, is looked up."""
BY_TIME: Final = "id"
BY_CHANGE: Final = "updated_at"
BY_STATUS: Final = "status"
RECENT: Final = timedelta(hours=1)
"""Age up to which a feed of all runs shows spans."""


class SchemaVersion(BaseModel):
    """What is read of a schema version; lists leave the schemas out."""

    id: str
    external_identifier: str | None = None
    span_type_schemas: list[dict[str, Any]] | None = None


class ServerRuns:
    """The runs that a token may read.

    Attributes:
        place: The URL of the server.
    """

    def __init__(self, http: HttpClient) -> None:
        """Read through *http*."""
        self.place = http.target.url
        self._http = http
        self._agent = cache(self._asked_agent)
        self._run = cache(self._asked_run)

    def newest(self, count: int) -> list[ListedRun]:
        """Return the last *count* runs, newest first; each is read separately for its counts."""
        with self._listing("runs"):
            found = list(islice(self._each_newest(), count))
        return [self._ended(run.agent, self._instance(run.instance.id)) for run in found]

    def find(self, reference: str) -> ListedRun:
        """Return the run that *reference* names."""
        if not reference:
            raise Failed("an empty text names no run: `remit runs list` shows those that there are")
        if is_pfid(reference):
            return self._run(reference)
        with self._listing("runs"):
            newest = list(islice(self._each_newest(), 1 if reference == LAST else SEARCHED_RUNS))
        if not newest:
            raise Failed(f"there are no runs yet at {self.place}")
        if reference == LAST:
            return self._run(newest[0].instance.id)
        exact = [run for run in newest if run.instance.external_identifier == reference]
        found = exact or [run for run in newest if run.is_named(reference)]
        if len(found) > 1:
            some = ", ".join(run.instance.id if exact else run.handle for run in found[:3])
            what = "are called" if exact else "begin with"
            raise Failed(
                f"{len(found)} runs {what} {reference!r} ({some}): give more of it, or an id"
            )
        if not found:
            raise self._unknown(reference, len(newest))
        return self._run(found[0].instance.id)

    def record(self, run: ListedRun) -> Record:
        """Return a run with all its spans."""
        with self._listing("spans"):
            spans = list(self._spans({"agent_instance_id": run.instance.id}))
        return Record.of(run.agent, run.instance, spans)

    def links(self, record: Record) -> Links:
        """Return the run that caused this one, and those that it caused, if the server can tell."""
        trace, instance = trace_of(record), record.instance
        lists = [self._identified("caused_by", each) for each in traces_of(instance)]
        caused = [run for each in lists for run in each]
        return Links(
            trace,
            None if trace is None else self._run_of_trace(trace, instance),
            tuple(caused[:LINKED_RUNS]),
            len(caused[LINKED_RUNS:]),
        )

    def _run_of_trace(self, trace: str, near: AgentInstance) -> ListedRun | None:
        """Return the run of a trace id: that of the key, else the instance that was resumed."""
        key, instance_id = names_of_trace(trace, near)
        for run in self._identified("external_identifier", key):
            return run
        with suppress(ApiError, ContractError, Failed):
            return self._run(instance_id)
        return None

    def _identified(self, field: str, value: str) -> list[ListedRun]:
        """Return one page of the runs with this value; none if the server has no such filter."""
        with suppress(ApiError, ContractError):
            rows = islice(self._every("agent_instance", AgentInstance, {field: value}), PAGE_ROWS)
            return [
                ListedRun(self._agent(row.agent_id), row)
                for row in rows
                if getattr(row, field) == value
            ]
        return []

    def erasures(self, run: ListedRun) -> list[dict[str, object]]:
        """Return nothing: the API has no request for erasures."""
        del run
        return []

    def risk(self, run: ListedRun) -> Risk:
        """Return the risk of a run."""
        path = f"{GET_INSTANCE.call(run.instance.id).path}/risk"
        try:
            return self._http.send(Call("GET", path, details(Risk)))
        except NotFoundError as error:
            raise Failed(f"{self.place} does not tell the risk of a run: {error}") from error

    def schema_versions(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the newest schema version of each agent with its identifier, the oldest first."""
        with self._listing("schema versions"):
            newest = [
                (agent, summary)
                for agent in self._agents()
                for summary in islice(self._schema_versions_of(agent), 1)
            ]
        newest.sort(key=lambda pair: pair[1].id)
        return [
            (agent.external_identifier or agent.id, self._schema_version(summary.id))
            for agent, summary in newest
        ]

    def _schema_versions_of(self, agent: Agent) -> Iterator[SchemaVersion]:
        wanted = {"agent_id": agent.id}
        return self._every(SCHEMA_VERSIONS, SchemaVersion, wanted, sorting=BY_TIME)

    def _schema_version(self, version_id: str) -> dict[str, Any]:
        path = f"{API}/{SCHEMA_VERSIONS}/{version_id}"
        call = Call("GET", path, details(SchemaVersion), limit_bytes=MAX_LIST_BYTES)
        return self._http.send(call).model_dump(exclude={"id"})

    def last(self, run: ListedRun | None, count: int, *, with_roots: bool) -> list[Step]:
        """Return the newest spans, in the order in which they began."""
        with self._listing("spans"):
            spans = heapq.merge(*self._newest_spans(run), key=lambda span: span.id, reverse=True)
            kept = (span for span in spans if with_roots or span.schema_name != RUN_TYPE)
            return self._steps(newest_of(kept, count))[-count:]

    def feed(self, run: ListedRun | None) -> Callable[[], list[Step]]:
        """Return what returns the spans that began or ended since its last call.

        The spans that changed last are read up to a page of known ones. The first call reads one
        page. Of all runs, only spans that began within the last hour are read.
        """
        seen: dict[str, tuple[str, datetime | None]] = {}
        most: int | None = PAGE_ROWS

        def fresh() -> list[Step]:
            nonlocal seen, most
            found: list[AgentSpan] = []
            met: dict[str, tuple[str, datetime | None]] = {}
            with self._listing("spans"):
                for spans in self._changed_spans(run):
                    known = 0
                    for span in islice(spans, most):
                        state = (span.status, span.updated_at)
                        if seen.get(span.id) == state:
                            known += 1
                        elif span.id not in met:
                            known = 0
                            found.append(span)
                        met[span.id] = state
                        if known >= PAGE_ROWS:
                            break
                seen, most = met, None
                return self._steps(found)

        return fresh

    def terminate(self, run: ListedRun, reason: str) -> None:
        """Terminate a run."""
        try:
            self._http.send(TERMINATE_INSTANCE.call(run.instance.id, reason=reason))
        except ApiError as error:
            raise Failed(
                f"the run {run.handle} cannot be terminated, it is {run.instance.status}: {error}"
            ) from error

    def _each_newest(self) -> Iterator[ListedRun]:
        """Yield the runs of all agents, the newest first, as lists show them."""
        each = [self._newest_of(agent) for agent in self._agents()]
        return heapq.merge(*each, key=lambda run: run.instance.id, reverse=True)

    def _newest_of(self, agent: Agent) -> Iterator[ListedRun]:
        wanted = {"agent_id": agent.id}
        instances = self._every("agent_instance", AgentInstance, wanted, sorting=BY_TIME)
        return (ListedRun(agent, instance) for instance in instances)

    def _agents(self) -> list[Agent]:
        """Return the agents whose runs the token may read."""
        try:
            return list(self._every("agent", Agent, {}))
        except UnauthorizedError:
            # A deployment's token is for one agent; remit's collector says which.
            try:
                agent_id = (self._http.send(PING.call()).details or {}).get("agent_id")
            except UnauthorizedError as error:
                raise Failed(f"{self.place} does not accept the token: {error}") from error
            if not isinstance(agent_id, str):
                raise
            return [self._agent(agent_id)]

    def _newest_spans(self, run: ListedRun | None) -> list[Iterator[AgentSpan]]:
        if run is not None:
            return [self._spans({"agent_instance_id": run.instance.id}, sorting=BY_TIME)]
        return [self._spans({"agent_id": agent.id}, sorting=BY_TIME) for agent in self._agents()]

    def _changed_spans(self, run: ListedRun | None) -> list[Iterator[AgentSpan]]:
        if run is not None:
            return [self._spans({"agent_instance_id": run.instance.id}, sorting=BY_CHANGE)]
        begin = (datetime.now(UTC) - RECENT).isoformat()
        return [
            self._spans({"agent_id": agent.id, "start_time": begin}, sorting=BY_CHANGE)
            for agent in self._agents()
        ]

    def _spans(
        self, wanted: Mapping[str, str], *, sorting: str | None = None
    ) -> Iterator[AgentSpan]:
        wanted = {**wanted, "include_summaries": "true"}
        return self._every("agent_spans", AgentSpan, wanted, sorting=sorting)

    def _ended(self, agent: Agent, instance: AgentInstance) -> ListedRun:
        """Return a run with what is found out about its end; without it if the server refuses."""
        wanted = telling(instance)
        if wanted is None:
            return ListedRun(agent, instance)
        query = {"agent_instance_id": instance.id}
        if wanted.schema_name is not None:
            query["schema_name"] = wanted.schema_name
        spans: list[AgentSpan] = []
        with suppress(ApiError, ContractError):
            each = self._every(
                "agent_spans", AgentSpan, query, sorting=BY_STATUS, offset=wanted.offset
            )
            spans.extend(islice(each, wanted.count))
        return run_with(agent, instance, spans)

    def _every(
        self,
        path: str,
        model: type[M],
        wanted: Mapping[str, str],
        *,
        sorting: str | None = None,
        offset: int | None = 0,
    ) -> Iterator[M]:
        """Yield the items of a list, page by page.

        Args:
            path: Path of the list.
            model: Model of its items.
            wanted: The query.
            sorting: The field by which it is sorted: times with the last first, statuses by the
                alphabet. In the long form: the service is known to refuse the short one.
            offset: How many items are left out.
        """
        direction = "asc" if sorting == BY_STATUS else "desc"
        order = {} if sorting is None else {"field": sorting, "direction": direction}
        query = {**wanted, **{f"sorting[{name}]": value for name, value in order.items()}}
        while offset is not None:
            paging = {"pagination[offset]": str(offset), "pagination[page_size]": str(PAGE_ROWS)}
            call = Call(
                "GET",
                f"{API}/{path}",
                page(model),
                query=tuple({**query, **paging}.items()),
                limit_bytes=MAX_LIST_BYTES,
            )
            answer = self._http.send(call)
            yield from answer.summaries
            following = answer.pagination.next_page_offset if answer.pagination else None
            offset = following if following != offset else None

    def _steps(self, spans: Iterable[AgentSpan]) -> list[Step]:
        """Return spans with their runs, in the order in which they began."""
        steps = [Step(self._run(span.agent_instance_id), span) for span in spans]
        return sorted(steps, key=lambda step: start_of(step.span))

    def _asked_run(self, run_id: str) -> ListedRun:
        instance = self._instance(run_id)
        return ListedRun(self._agent(instance.agent_id), instance)

    def _asked_agent(self, agent_id: str) -> Agent:
        return self._http.send(SHOW_AGENT.call(agent_id=agent_id))

    def _instance(self, run_id: str) -> AgentInstance:
        """Return a run.

        Raises:
            Failed: The server does not know it.
        """
        try:
            return self._http.send(GET_INSTANCE.call(run_id))
        except NotFoundError as error:
            if error.code is None:
                raise
            raise self._unknown(run_id) from error

    def _unknown(self, reference: str, searched: int = 0) -> Failed:
        among = f" among the newest {searched:,}" if searched >= SEARCHED_RUNS else ""
        return Failed(
            f"there is no run {reference!r}{among} at {self.place}: `remit runs list` shows those "
            "that there are"
        )

    @contextmanager
    def _listing(self, what: str) -> Generator[None]:
        """Replace the error of a list by one that says what to do.

        Raises:
            Failed: The token may not read the list, or the server has none.
        """
        try:
            yield
        except UnauthorizedError as error:
            raise Failed(
                f"the token may not list {what} at {self.place}: {error}. Use a token of scope "
                "account, or give the id of a run, or --db"
            ) from error
        except (NotFoundError, ContractError) as error:
            raise Failed(
                f"{self.place} has no list of {what}: {error}. Give --db to read a database"
            ) from error
