"""Keeps open spans and runs by a framework's own ids."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, ClassVar, Final, Generic, TypeVar, Unpack

from remit._adapters.spans import (
    Content,
    ManualSpan,
    SpanEnd,
    StartOptions,
    react_to_fault,
    start,
)
from remit._base.guard import guarded
from remit._base.locks import SignalSafeLock
from remit._base.outcomes import CANCELLED
from remit._base.system import at_fork
from remit._record.context import open_context
from remit._record.runs import OpenRun, SpanContext
from remit._record.spans import SpanRecorder
from remit.errors import DeniedError, SettingsError, UsageError

K = TypeVar("K", bound=Hashable)

MAX_OPEN: Final = 10_000
"""Entries of one table at most, in case a framework never ends its steps."""


class SpanTable(Generic[K]):
    """Open spans by a framework's own ids; used from any thread.

    An entry is removed when its span ends. A full table removes the oldest entry, whose span ends
    with its run.
    """

    _lock: ClassVar[SignalSafeLock] = SignalSafeLock()

    def __init__(self) -> None:
        self._spans: dict[K, ManualSpan] = {}
        self._aliases: dict[K, K] = {}

    def start(
        self,
        key: K,
        recorder: SpanRecorder,
        payload: Content,
        *parents: K,
        current: bool = False,
        outer: SpanContext | None = None,
        **options: Unpack[StartOptions],
    ) -> ManualSpan:
        """Start the span of *key* under the first of *parents* that is open, else the current one.

        Outside any run, its parent is *outer*. An open span of the same key is cancelled before.
        *current* makes the span current until it ends; the *options* are those of `start`. Raises
        what `start` raises.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        self.end(key, status=CANCELLED)
        try:
            parent = self.context(*parents) or outer
        except Exception as error:
            react_to_fault(error, recorder)
            parent = open_context() or outer
        span = start(recorder, payload, parent=parent, **options)
        try:
            self._add(key, span)
        except Exception as error:
            fault = error
        else:
            return span.make_current() if current else span
        with span.ended_by_errors():
            react_to_fault(fault, recorder, span.context)
        return span.make_current() if current else span

    def _add(self, key: K, span: ManualSpan) -> None:
        if span.context is None:
            return
        with self._lock:
            _make_room(self._spans)
            self._spans[key] = span
        span.on_end = partial(self._remove, key, span)
        if not span.is_open:
            span.on_end()

    def _remove(self, key: K, span: ManualSpan) -> None:
        with self._lock:
            if self._spans.get(key) is span:
                del self._spans[key]

    @guarded("a table of spans")
    def alias(self, key: K, parent: K) -> None:
        """Map *key*, a node of the framework without a span, to *parent*."""
        with self._lock:
            _make_room(self._aliases)
            self._aliases[key] = parent

    @guarded("a table of spans")
    def get(self, key: K) -> ManualSpan | None:
        """Return the open span of *key*."""
        return self._spans.get(key)

    def context(self, *keys: K) -> SpanContext | None:
        """Return the context of the first of *keys* that is open, else the current one."""
        return self._context(keys) or open_context()

    def _context(self, keys: tuple[K, ...]) -> SpanContext | None:
        with self._lock:
            for key in keys:
                span = self._spans.get(self._resolved(key))
                if span is not None:
                    return span.context
        return None

    def _resolved(self, key: K) -> K:
        seen: set[K] = set()
        while key not in self._spans and key in self._aliases and key not in seen:
            seen.add(key)
            key = self._aliases[key]
        return key

    @guarded("a table of spans")
    def end(self, key: K, result: Content | None = None, **how: Unpack[SpanEnd]) -> None:
        """End the span of *key*, as `ManualSpan.end` does; it stops being current."""
        with self._lock:
            span = self._spans.get(key)
            self._aliases.pop(key, None)
        if span is None:
            open_context()
        else:
            span.end(result, **how)


class SessionTable(Generic[K]):
    """Runs without a block, one for each session of a server, by a framework's own ids.

    A run is idle while none of its spans is open and `context` does not return it. One that is idle
    for `idle_s` seconds ends at the writer's next pass. A full table removes the oldest run, which
    ends when it is idle.
    """

    _lock: ClassVar[SignalSafeLock] = SignalSafeLock()

    def __init__(self, idle_s: float = 3600.0) -> None:
        self._idle_ns = int(idle_s * 1_000_000_000)
        self._runs: dict[K, OpenRun] = {}

    @guarded("the run of a session", passes=(DeniedError, SettingsError, UsageError))
    def context(self, key: K, open_run: Callable[[], OpenRun]) -> SpanContext | None:
        """Return the context of the run of *key*, which *open_run* opens at the first use.

        It is None after a fault; a span with this parent is outside any run. Raises what *open_run*
        raises: with `AgentRuns.open`, RunTerminated, SettingsError and UsageError.
        """
        with self._lock:
            run = self._runs.get(key)
            if run is None or run.exited:
                run = open_run()
                self._runs = {key: run for key, run in self._runs.items() if not run.exited}
                _make_room(self._runs)
                self._runs[key] = run
            run.idle_ns, run.used_ns = self._idle_ns, run.monotonic_ns()
        return run.context

    @guarded("the end of a session")
    def end(self, key: K, error: BaseException | None = None) -> None:
        """End the run of *key*, as its block would; an unknown key does nothing."""
        with self._lock:
            run = self._runs.pop(key, None)
        if run is not None and not run.exited:
            run.exit(error)


def _make_room(entries: dict[Any, Any]) -> None:
    """Remove the oldest entry of a full table."""
    if len(entries) >= MAX_OPEN:
        del entries[next(iter(entries))]


def _renew_locks() -> None:
    """Replace the locks in the child of a fork: a thread of the parent may hold them."""
    SpanTable._lock = SignalSafeLock()  # noqa: SLF001 - of this module
    SessionTable._lock = SignalSafeLock()  # noqa: SLF001 - of this module


at_fork(after_in_child=_renew_locks)
