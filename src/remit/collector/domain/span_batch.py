"""A batch of span operations: all rows are read, then each is decided, then all are written.

Each operation sees the effects of those before it, and a rejected one has none, as if each had a
transaction of its own. One operation alone is a batch of one.

docs/reference/wire.md decides the cases that public sources do not define.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from remit.collector.domain.conformance import (
    found_at_creation,
    found_at_finish,
    shown_span,
    with_summary,
)
from remit.collector.domain.context import Context
from remit.collector.domain.erasure import span_without_payloads
from remit.collector.domain.keys import CREATE_PREFIX, FINISH_PREFIX, span_of_key, used_otherwise
from remit.collector.domain.params import instant, taken
from remit.collector.domain.run_update import RunUpdate
from remit.collector.domain.spans import (
    CREATE,
    FINISH,
    Call,
    Payload,
    SpanToCreate,
    SpanToFinish,
    span_to_create,
    span_to_finish,
)
from remit.collector.domain.states import (
    CANCELLED,
    COMPLETE,
    PENDING,
    TERMINATED,
    UNFINISHED,
    finish_run,
    finish_span,
)
from remit.collector.domain.waiting import RESULT, dropped_by
from remit.collector.errors import RequestError, not_found
from remit.collector.json_io import same_json
from remit.collector.store.rows import (
    CREATED_BY_KEY,
    FINISHED_BY_KEY,
    SENSITIVE,
    KeyRow,
    RunRow,
    SpanRow,
)
from remit.collector.store.subjects import root_id
from remit.collector.validation.declarations import CompiledSpanType, Declared
from remit.collector.views.envelopes import span_response
from remit.collector.views.spans import without_values

Fields: TypeAlias = SpanToCreate | SpanToFinish | RequestError
_PREFIXES: Final = {CREATE: CREATE_PREFIX, FINISH: FINISH_PREFIX}


class Task(NamedTuple):
    """One operation, read.

    Attributes:
        home: Id of the span from which the key was derived, in whose row it is stored.
        fields: Its fields, or why they are not valid.
    """

    operation: str
    key: str | None
    home: str | None
    fields: Fields


class SpanBatch:
    """One batch of span operations, inside the transaction of its context."""

    def __init__(self, ctx: Context, *, minimal: bool = False) -> None:
        """Begin an empty batch; *minimal* responses leave the spans out."""
        self._ctx = ctx
        self._minimal = minimal
        self._account_id = ctx.caller.account_id
        self._spans: dict[str, SpanRow] = {}
        self._runs: dict[str, RunRow] = {}
        self._keys: dict[tuple[str, str], KeyRow] = {}
        self._new: dict[str, SpanRow] = {}
        self._changed: dict[str, SpanRow] = {}
        self._new_keys: list[KeyRow] = []
        self._updates: dict[str, RunUpdate] = {}
        self._versions: dict[str, Declared] = {}

    def execute(self, calls: Sequence[Call]) -> list[bytes | RequestError]:
        """Return the responses in order, up to and with the first error."""
        tasks = [self._task(call) for call in calls]
        self._read(tasks)
        responses: list[bytes | RequestError] = []
        for task in tasks:
            try:
                self._ctx.allowance.check()
                response = self._decide(task)
            except RequestError as error:
                responses.append(error)
                break
            self._ctx.allowance.take(response)
            responses.append(response)
        self._write()
        return responses

    def _task(self, call: Call) -> Task:
        max_depth = self._ctx.settings.max_depth
        read = span_to_create if call.operation == CREATE else span_to_finish
        try:
            fields: Fields = read(call.params, max_depth)
        except RequestError as error:
            fields = error
        home = span_of_key(call.key, _PREFIXES[call.operation], self._account_id)
        return Task(call.operation, call.key, home, fields)

    def _read(self, tasks: Sequence[Task]) -> None:
        """Read the rows that the decisions need, in a few statements for the whole batch."""
        tx, account_id = self._ctx.tx, self._account_id
        run_ids: set[str] = set()
        created: set[str | None] = set()
        named: set[str | None] = set()
        # Whether every operation only adds the span that it names: one that another request adds
        # meanwhile is a conflict then, so that spans of which none was found need not be read.
        adds = True
        for _, _, home, fields in tasks:
            if isinstance(fields, SpanToCreate):
                run_ids.add(fields.agent_instance_id)
                created.update((home, fields.id))
                adds = adds and (home is None or fields.id is None or fields.id == home)
                continue
            adds = False
            named.add(home)
            if isinstance(fields, SpanToFinish):
                named.add(fields.agent_span_id)
        new_ids = {span_id for span_id in created if span_id is not None}
        span_ids = new_ids.union(span_id for span_id in named if span_id is not None)
        shards = tx.hold(run_ids, span_ids, created=new_ids)
        for operation in _PREFIXES:
            keys = [task.key for task in tasks if task.key and task.operation == operation]
            for key, row in tx.keys(account_id, operation, keys).items() if keys else ():
                self._keys[operation, key] = row
        used = {row.agent_span_id for row in self._keys.values() if row.agent_span_id}
        if used or (span_ids and (shards is None or shards or not adds)):
            within = shards or None if used <= span_ids else None
            self._spans = tx.spans(account_id, span_ids | used, within)
        run_ids.update(row.agent_instance_id for row in self._spans.values())
        self._runs = tx.runs(account_id, run_ids)

    def _decide(self, task: Task) -> bytes:
        first = self._first_result(task)
        if first is not None and not self._ctx.caller.sees(self._runs[first.agent_instance_id]):
            raise taken("idempotency_key")
        if isinstance(task.fields, RequestError):
            raise task.fields
        if first is not None:
            if not self._repeats(task, task.fields, first):
                raise used_otherwise()
            return self._response(first)
        if isinstance(task.fields, SpanToCreate):
            return self._create(task, task.fields)
        return self._finish(task, task.fields)

    def _first_result(self, task: Task) -> SpanRow | None:
        """Return the span on which the operation's key was used before."""
        if task.key is None:
            return None
        known = self._keys.get((task.operation, task.key))
        if known is not None and known.agent_span_id is not None:
            return self._spans.get(known.agent_span_id)
        row = self._spans.get(task.home or "")
        if row is None:
            return None
        used = CREATED_BY_KEY if task.operation == CREATE else FINISHED_BY_KEY
        return row if row.flags & used else None

    def _repeats(self, task: Task, fields: SpanToCreate | SpanToFinish, row: SpanRow) -> bool:
        """Return whether an operation repeats the one that wrote *row*.

        A key that was derived from the span's id identifies the span. Nothing else is compared
        then: a process that takes over from another may know less of the span.
        """
        if isinstance(fields, SpanToCreate):
            same_span = fields.id in {None, row.id}
            return same_span and (task.home == row.id or self._same_creation(fields, row))
        if fields.agent_span_id != row.id:
            return False
        erased = self._runs[row.agent_instance_id].erased_at is not None
        return task.home == row.id or (
            (fields.status or COMPLETE) == row.status
            and (erased or _same_payload(row.result_payload, _text_of(fields.result)))
        )

    def _same_creation(self, fields: SpanToCreate, row: SpanRow) -> bool:
        """Return whether a creation is equal to the one of *row*, which may have ended since."""
        created = self._new_span(row.id, fields)
        erased = self._runs[row.agent_instance_id].erased_at is not None
        ended = row.created_status not in UNFINISHED
        return (
            created.agent_instance_id == row.agent_instance_id
            and created.parent_span_id == row.parent_span_id
            and created.schema_name == row.schema_name
            and created.status == row.created_status
            and created.flags & SENSITIVE <= row.flags & SENSITIVE
            and (fields.started_at is None or created.started_at in {None, row.started_at})
            and (fields.finished_at is None or created.finished_at in {None, row.finished_at})
            and (erased or _same_payload(created.payload, row.payload))
            and (erased or not ended or _same_payload(created.result_payload, row.result_payload))
        )

    def _create(self, task: Task, fields: SpanToCreate) -> bytes:
        run = self._runs.get(fields.agent_instance_id)
        if run is None or not self._ctx.caller.sees(run):
            raise not_found("agent_instance")
        unused_home = None if task.home in self._spans else task.home
        span_id = fields.id or unused_home or self._ctx.new_id()
        known = self._spans.get(span_id)
        if known is not None:
            if not self._same_creation(fields, known):
                raise taken("id")
            return self._response(known)
        update = self._update_of(run)
        span_type = update.types.get(fields.schema_name)
        flags, findings = found_at_creation(self._ctx, span_type, fields)
        if task.home == span_id:
            flags |= CREATED_BY_KEY
        refs = run.ref, update.type_ref(fields.schema_name)
        row = self._new_span(span_id, fields, flags, refs)
        row = self._stored(row, run, span_type, fields)
        self._spans[span_id] = self._new[span_id] = row
        update.take(None, row, findings, fields)
        self._keep_key(task, row)
        return self._response(row)

    def _update_of(self, run: RunRow) -> RunUpdate:
        update = self._updates.get(run.id)
        if update is None:
            types = self._version(run).types
            update = self._updates[run.id] = RunUpdate(self._ctx.tx, run, types)
        return update

    def _version(self, run: RunRow) -> Declared:
        version = self._versions.get(run.id)
        if version is None:
            version = self._ctx.declarations.of(self._ctx.tx, run.agent_schema_version_id)
            self._versions[run.id] = version
        return version

    def _stored(
        self,
        row: SpanRow,
        run: RunRow,
        span_type: CompiledSpanType | None,
        fields: SpanToCreate | SpanToFinish,
    ) -> SpanRow:
        """Return a span as it is stored: with its summary, if it has ended."""
        if run.erased_at is not None:
            return span_without_payloads(row)
        if row.status in UNFINISHED:
            return row
        return with_summary(row, span_type, self._ctx.budget, fields)

    def _new_span(
        self, span_id: str, fields: SpanToCreate, flags: int = 0, refs: tuple[int, int] = (0, 0)
    ) -> SpanRow:
        """Return the row of a new span; a start or end without a time is now."""
        now_us = self._ctx.now_us
        started_at = instant("started_at", fields.started_at, now_us)
        finished_at = instant("finished_at", fields.finished_at, now_us)
        return SpanRow(
            agent_instance_id=fields.agent_instance_id,
            id=span_id,
            parent_span_id=fields.parent_span_id,
            schema_name=fields.schema_name,
            status=fields.status,
            created_status=fields.status,
            flags=flags | (SENSITIVE if fields.sensitive_encoding else 0),
            started_at=started_at if fields.status != PENDING else None,
            finished_at=finished_at if fields.status not in UNFINISHED else None,
            inserted_at=now_us,
            updated_at=now_us,
            payload=fields.params.text,
            result_payload=_text_of(fields.result),
            run_ref=refs[0],
            type_ref=refs[1],
        )

    def _finish(self, task: Task, fields: SpanToFinish) -> bytes:
        row = self._spans.get(fields.agent_span_id)
        if row is None or not self._ctx.caller.sees(self._runs[row.agent_instance_id]):
            raise not_found("agent_span")
        now_us = self._ctx.now_us
        finished = finish_span(
            row,
            fields.status or COMPLETE,
            instant("timestamp", fields.timestamp, now_us),
            now_us,
            result=_text_of(fields.result),
            sensitive=bool(fields.sensitive_encoding),
        )
        run = self._runs[row.agent_instance_id]
        update = self._update_of(run)
        span_type = update.types.get(row.schema_name)
        found, findings = found_at_finish(self._ctx, span_type, finished.status, fields)
        own_key = FINISHED_BY_KEY if task.home == row.id else 0
        finished = msgspec.structs.replace(finished, flags=finished.flags | found | own_key)
        finished = self._stored(finished, run, span_type, fields)
        changes = self._new if row.id in self._new else self._changed
        self._spans[row.id] = changes[row.id] = finished
        update.take(row, finished, findings, fields)
        self._keep_key(task, finished)
        return self._response(finished)

    def _keep_key(self, task: Task, row: SpanRow) -> None:
        """Store the key of an operation, unless the span's own row holds it."""
        if task.key is not None and task.home != row.id:
            self._new_keys.append(
                KeyRow(
                    account_id=self._account_id,
                    operation=task.operation,
                    key=task.key,
                    agent_instance_id=row.agent_instance_id,
                    agent_span_id=row.id,
                    response=None,
                    inserted_at=self._ctx.now_us,
                )
            )

    def _response(self, row: SpanRow) -> bytes:
        run = self._runs[row.agent_instance_id]
        if self._minimal:
            view: object = {"id": row.id}
        else:
            view = shown_span(self._version(run), row, run, self._ctx.budget)
            if not self._ctx.caller.reads:
                view = without_values(view)
        terminated = run.status == TERMINATED
        return span_response(view, terminated=terminated, reason=run.termination_reason)

    def _write(self) -> None:
        tx = self._ctx.tx
        if self._new:
            tx.add_spans(list(self._new.values()))
            self._ctx.metrics.spans += len(self._new)
        if self._changed:
            tx.change_spans(list(self._changed.values()))
        if self._new_keys:
            tx.add_keys(self._new_keys)
        if self._updates:
            updates = self._updates.values()
            runs = {update.run.id: update.write() for update in updates}
            tx.add_findings([row for update in updates for row in update.findings])
            tx.change_runs(list(runs.values()))
            if new := [runs[update.run.id] for update in updates if update.has_new_input]:
                self._end_waiting(new, runs)

    def _end_waiting(self, new: Sequence[RunRow], written: Mapping[str, RunRow]) -> None:
        """End the runs that wait for an answer in a conversation that went on without it."""
        ctx = self._ctx
        for run in new:
            for waiting in dropped_by(ctx, run, written.values()):
                ended = finish_run(waiting, CANCELLED, ctx.now_us, ctx.now_us)
                root_name = root_id(waiting.id)
                spans = ctx.tx.spans(waiting.account_id, [root_name] if root_name else [])
                for span in spans.values():
                    if span.status in UNFINISHED:
                        ended = self._cancelled_with(span, ended)
                ctx.tx.counts.run(waiting, ended)
                ctx.tx.change_runs([ended])

    def _cancelled_with(self, root: SpanRow, run: RunRow) -> RunRow:
        """Cancel the root span of a run; return the run as it is then to be written."""
        ctx = self._ctx
        result = None if run.erased_at else RESULT
        cancelled = finish_span(
            root, CANCELLED, ctx.now_us, ctx.now_us, result=result, sensitive=False
        )
        update = RunUpdate(ctx.tx, run, self._version(run).types)
        fields = SpanToFinish(root.id, CANCELLED)
        update.take(root, cancelled, None, fields)
        ctx.tx.change_spans([cancelled])
        return update.write()


def _text_of(payload: Payload | None) -> str | None:
    return None if payload is None else payload.text


def _same_payload(one: str | None, other: str | None) -> bool:
    return same_json((one or "null").encode(), (other or "null").encode())
