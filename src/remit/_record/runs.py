"""Runs while they last: what all of them share, what refers to one, how each begins and ends.

One `SpanContext` is the ambient value, run and span in one, so that they never disagree. It holds
ids and the run, never a payload and never an object of the user's. `remit._record.context` makes it
current.
"""

from __future__ import annotations

import os
import platform
import weakref
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, cast

import msgspec
from msgspec import Struct, field

from remit import _capture
from remit._base.clock import NS_PER_S, Clock
from remit._base.guard import guarded, logger
from remit._base.ids import key_text, new_key
from remit._base.loops import is_own_thread
from remit._base.outcomes import ACTIVE, COMPLETE, FAILED, TERMINATED, is_only, status_of
from remit._base.text import describe_value
from remit._base.version import SDK
from remit._declare.registry import RUN_TYPE
from remit._record.context_variable import get_context
from remit._record.items import AgentRef, Item, Kind, RunFeed, Sink
from remit._record.policy import Ceilings
from remit.errors import DeniedError

OBSERVE: Final = "observe"
TERMINATE: Final = "terminate"
# Blocks may have thousands of names; what exceeds a remit beyond that is on the spans alone.
MAX_SAID: Final = 1_000


contributed_interrupts: Final[list[type[BaseException]]] = []
"""Exception types by which the frameworks of adapters pause a run."""


class AfterRun(Protocol):
    """What is done when a run has ended."""

    def __call__(self) -> None:
        """Do it; where an event loop runs, without blocking it."""
        ...

    def beside(self) -> Awaitable[None] | None:
        """Begin it beside an event loop; return what to await, if anything."""
        ...


class NothingAfter:
    """Nothing is done: what was recorded is moved at the next interval."""

    def __call__(self) -> None:
        """Do nothing."""

    def beside(self) -> None:
        """Do nothing."""


class Cancellable(Protocol):
    """A span that is cancelled if nothing more is heard of it."""

    def cancel(self, ended_ns: int | None = None) -> None:
        """End the span; *ended_ns* is when its code was closed, None is now."""
        ...


class DeferredSpan(Cancellable, Protocol):
    """A span that outlives its call, such as that of a generator."""

    def interrupt(self) -> None:
        """Stop the step that is awaited, if there is one."""
        ...


class ReportedSpan(Cancellable, Protocol):
    """A span that an adapter opened and ends, see `remit._decorators.adapters`.

    Attributes:
        refused: The refusal of a step beneath it.
    """

    refused: DeniedError | None


class RunKeeper(Protocol):
    """Keeps runs that are nobody's block, see `remit._decorators.adapters`."""

    def end_idle(self) -> None:
        """End those that were not used for long enough."""
        ...


class Recorder(Struct, frozen=True):
    """What every run of one runtime shares.

    Attributes:
        sink: Where items go.
        clock: The time.
        rules: Redaction and limits.
        on_violation: `observe`, `deny` or `terminate`.
        control_flow: Exception types that interrupt without failing, as the setting says.
        run_linger_s: Seconds that a run whose block has ended waits for its open spans.
        after_run: Called when a run's block has ended, and when a run ends after its block.
        on_first_seen: Called with agent and name when a span type is first used in the runs of an
            agent.
        logged: What was logged already of steps that exceed a remit.
        exceeding: How often a step exceeded a remit, by its name.
        lingering: Runs whose blocks have ended before their last spans. This set may hold the only
            reference to them.
        terminated: Feeds of the latest runs that ended terminated; these are not resumed.
        tables: What keeps runs that end when they are idle, at the writer's next pass.
        collected: Spans to be ended, with the time. A finalizer that runs in one of remit's own
            threads only appends to it; the writer ends them at its next pass.
    """

    sink: Sink
    clock: Clock
    rules: _capture.Rules
    on_violation: str = OBSERVE
    control_flow: tuple[type[BaseException], ...] = ()
    run_linger_s: float = 300.0
    after_run: AfterRun = field(default_factory=NothingAfter)
    on_first_seen: Callable[[str, str], None] = lambda _agent, _name: None
    logged: set[str] = field(default_factory=set[str])
    exceeding: Counter[str] = field(default_factory=Counter[str])
    lingering: set[OpenRun] = field(default_factory=set["OpenRun"])
    terminated: deque[RunFeed] = field(default_factory=lambda: deque[RunFeed](maxlen=MAX_SAID))
    tables: weakref.WeakSet[RunKeeper] = field(default_factory=weakref.WeakSet["RunKeeper"])
    collected: deque[tuple[Cancellable, int]] = field(
        default_factory=deque[tuple[Cancellable, int]]
    )

    @property
    def interrupts(self) -> tuple[type[BaseException], ...]:
        """Exception types that interrupt without failing: of the setting, and of adapters."""
        return (*self.control_flow, *contributed_interrupts)

    def close(self, span: Cancellable, ended_ns: int) -> None:
        """Cancel a span whose code was closed, now or at the writer's next pass."""
        if is_own_thread():
            self.collected.append((span, ended_ns))
        else:
            span.cancel(ended_ns)

    def end_collected(self) -> None:
        """End the spans that finalizers left to the writer."""
        while self.collected:
            try:
                span, ended_ns = self.collected.popleft()
            except IndexError:  # another thread was faster
                return
            span.cancel(ended_ns)


# The context of a call


class SpanContext(Struct, frozen=True, eq=False):
    """In which run and under which span a call is made. Equal to itself only.

    Attributes:
        run: The run.
        key: Key of the current span, 16 bytes.
        name: Its span type.
        ceilings: What the agents around it allow.
        outer_runs: The other runs in whose blocks it is.
    """

    run: OpenRun
    key: bytes
    name: str
    ceilings: Ceilings
    outer_runs: tuple[OuterRun, ...] = ()


class OuterRun(Struct, frozen=True, eq=False):
    """A run in whose block another run is used: its ceilings and its termination apply there too.

    It refers to the feed instead of the run. Otherwise tasks that each open a run and start the
    next task in it would keep a chain of all their runs in memory.

    Attributes:
        feed: The feed of the run.
        ceilings: What the agents allow where the other run is used.
    """

    feed: RunFeed
    ceilings: Ceilings


current_context: Final = cast("Callable[[], SpanContext | None]", get_context)
"""Returns the current context, or `None` outside any run."""


# Unguarded: comparisons.
def outer_runs(outer: SpanContext | None) -> tuple[OuterRun, ...]:
    """Return the runs around what is used at *outer*, without those that ended normally."""
    if outer is None:
        return ()
    runs = (OuterRun(outer.run.feed, outer.ceilings), *outer.outer_runs)
    return tuple(each for each in runs if each.feed.terminated is not None or not each.feed.closed)


# Runs


class RunOptions(Struct, frozen=True):
    """What a run was opened with.

    Attributes:
        purpose: `live`, `smoke_test` or `eval`.
        subject: Whose data the run is about, in the caller's words.
        labels: Free words or pairs to find the run by.
        resume: Id of the instance that goes on, if any.
        traceparent: The W3C header of the trace in which it was opened; linked, not joined.
    """

    purpose: str
    subject: str | None = None
    labels: object = None
    resume: str | None = None
    traceparent: str | None = None


class OpenRun:
    """One run, from the start of its block to the end of its last span.

    Attributes:
        recorder: What it shares with the other runs.
        feed: What delivery knows of it; its key is the run's.
        recording: False in mode `off`: spans of this run record nothing.
        rules: Redaction and limits, with the texts that the run has withheld.
        context: The context directly under the root span.
        open: The parents of the spans that have begun and not ended, and of the streams that were
            called and have not begun, by key; without the root.
        spans: How many spans began.
        deferred: What outlives the calls of its open spans, by span key.
        reported: Open spans of adapters, by key; they end with the run's block.
        overrides: Results that the user set by hand, by span key: (status or None, JSON bytes).
        exited: The run's block has ended.
        outcome: Status and reason with which the run ends; None while that is not decided.
        left_open: The run goes on after its block, to be resumed.
        handle: The public `Run`.
        monotonic_ns: That of the recorder's clock, at hand.
        offset_ns: Wall time minus monotonic time, for spans that start now.
    """

    __slots__ = (
        "__weakref__",
        "_closing",
        "_exited_ns",
        "_offset_ns",
        "_outliving",
        "_payload",
        "_pid",
        "_started_ns",
        "context",
        "deferred",
        "exited",
        "feed",
        "handle",
        "left_open",
        "monotonic_ns",
        "offset_ns",
        "open",
        "outcome",
        "overrides",
        "recorder",
        "recording",
        "reported",
        "rules",
        "spans",
    )

    def __init__(
        self,
        recorder: Recorder,
        agent: AgentRef,
        options: RunOptions,
        *,
        recording: bool,
        ceilings: Ceilings,
    ) -> None:
        """Open the run: from here on it has a key and, when recording, a root span."""
        outer = current_context()
        self.recorder: Final = recorder
        self.recording: Final = recording
        shared = outer.run.rules if recording and outer is not None else None
        self.rules: Final[_capture.Rules] = recorder.rules.in_run(shared)
        self.monotonic_ns: Final = recorder.clock.monotonic_ns
        self.offset_ns = 0
        self.set_clock()
        self._offset_ns = self.offset_ns
        self._started_ns = self.now_ns()
        root = new_key(self._started_ns)
        self.feed: Final = RunFeed(
            key_text(new_key(self._started_ns)),
            agent,
            options.purpose,
            root=root,
            instance_id=options.resume,
        )
        self.context: Final = SpanContext(self, root, RUN_TYPE, ceilings, outer_runs(outer))
        self.open: Final[dict[bytes, bytes]] = {}
        self.deferred: Final[dict[bytes, weakref.ref[DeferredSpan]]] = {}
        self.reported: Final[dict[bytes, ReportedSpan]] = {}
        self.overrides: Final[dict[bytes, tuple[str | None, bytes]]] = {}
        self.spans = 0
        self.handle: object = None
        self.outcome: tuple[str, str | None] | None = None
        self.left_open = False
        self.exited = False
        self._exited_ns: int | None = None
        self._outliving: frozenset[bytes] = frozenset()
        self._payload: bytes | None = None
        self._pid = os.getpid()
        # Its block, its last span or the writer ends the run: the one that pops the element.
        self._closing = [True]
        if recording:
            self._announce(options)

    def set_clock(self) -> None:
        """Take over the wall clock, which may have been set; for spans that start from now on."""
        self.offset_ns = self.recorder.clock.wall_ns() - self.monotonic_ns()

    def now_ns(self) -> int:
        """Return the wall time."""
        return self.monotonic_ns() + self.offset_ns

    @guarded("the start of a run")
    def _announce(self, options: RunOptions) -> None:
        payload: dict[str, object] = {
            "subject": options.subject,
            "labels": options.labels,
            "purpose": options.purpose,
            "sdk": SDK,
            "pid": self._pid,
            "host": platform.node(),
        }
        if options.traceparent is not None:
            payload["traceparent"] = options.traceparent
        self._payload = _capture.capture_mapping(payload, self.rules)
        sink = self.recorder.sink
        if self.feed.resumed:
            # The server has its root span, open since the run was left so.
            if options.subject is not None or options.labels is not None:
                self._warn(
                    "run(resume=...) was given a subject or labels; those that the run was begun "
                    "with stay"
                )
            sink.open_run(self._item(Kind.RUN, payload=self._payload), self.feed)
            return
        sink.open_run(self._item(Kind.RUN), self.feed)
        sink.put(self._item(Kind.SPAN, status=ACTIVE, payload=self._payload))

    @property
    def status(self) -> str:
        """`active`, `complete`, `failed`, `cancelled` or `terminated`."""
        if self.feed.terminated is not None:
            return TERMINATED
        ended = self.exited and (self.feed.closed or not self.open)
        if self.outcome is not None and ended and not self.left_open:
            return self.outcome[0]
        return ACTIVE

    def decide(self, status: str, reason: str | None = None) -> None:
        """End the run with *status*, however its block ends."""
        self.outcome = (status, reason)
        self.left_open = False

    def leave_open(self) -> None:
        """Leave the run open after its block, however that ends."""
        if self.outcome is not None and self.outcome[0] == FAILED:
            self._warn(
                "leave_open() came after fail(): the last of them counts, so the run stays open "
                "and that it failed is recorded nowhere"
            )
        self.left_open = True

    @guarded("the log of a run")
    def _warn(self, message: str) -> None:
        """Log *message* once for each agent."""
        agent = self.feed.agent.external_identifier
        topic, logged = f"{agent}: {message}", self.recorder.logged
        if topic not in logged and len(logged) < MAX_SAID:
            logged.add(topic)
            logger.warning("a run of %s: %s", agent, message)

    @guarded("the comparison of a quality payload")
    def quality_errors(self, name: str, body: bytes) -> bytes | None:
        """Log how a quality payload differs from its declaration; return that as JSON."""
        errors = self.feed.agent.quality_check()(name, body)
        if not errors:
            return None
        self._warn(f"the quality {describe_value(name)} is not as declared: {'; '.join(errors)}")
        return msgspec.json.encode(errors)

    # How it ends

    @guarded("the end of a run's block")
    def exit(self, error: BaseException | None, *, awaited: bool = False) -> None:
        """End the block; the run closes now, or when its last span ends.

        What is to be done after a run is done here, unless the caller *awaited* it.
        """
        self._cancel_reported()
        if self.outcome is None and not self.left_open:
            self._conclude(error)
        self._exited_ns = self.monotonic_ns()
        self._outliving = frozenset(self.open)
        self.exited = True
        if self.open:
            self.recorder.lingering.add(self)
        else:
            self._close()
        if not awaited:
            self.recorder.after_run()

    def _cancel_reported(self) -> None:
        for span in reversed(list(self.reported.values())):
            span.cancel()

    @guarded("the outcome of a run")
    def _conclude(self, error: BaseException | None) -> None:
        control_flow = self.recorder.interrupts
        if error is None:
            self.decide(COMPLETE)
        elif is_only(error, control_flow):
            self.leave_open()
        else:
            status = status_of(error, control_flow)
            self.decide(status, None if status == COMPLETE else type(error).__qualname__)

    def fail_after_block(self, key: bytes, parent: bytes | None, error: BaseException) -> None:
        """Fail a run whose block completed, because a span that outlived the block failed.

        A span inside another open span does not count: the code around it may catch the exception.

        Args:
            key: Key of the span.
            parent: Key of the span around it.
            error: The exception that it raised.
        """
        if key not in self._outliving or parent in self.open:
            return
        if self.outcome is not None and self.outcome[0] == COMPLETE:
            self.outcome = (FAILED, type(error).__qualname__)

    def note_refusal(self, key: bytes | None, error: DeniedError) -> None:
        """Tell the spans of adapters around the span *key*, and that one, of a refusal."""
        while key is not None and self.reported:
            span = self.reported.get(key)
            if span is not None:
                span.refused = error
            key = self.open.get(key)

    def discard(self, key: bytes) -> None:
        """Remove a span that has ended from the open ones; the last one closes an exited run."""
        self.open.pop(key, None)
        if self.exited and not self.open:
            self.settle()

    @guarded("the end of a run")
    def settle(self) -> None:
        """Close the run, whose block has ended."""
        if self._close():
            self.recorder.after_run()

    @guarded("the end of a run", default=False)
    def _close(self) -> bool:
        """Close the run, once, if this process opened it; return whether it did."""
        self.recorder.lingering.discard(self)
        if self._pid != os.getpid():
            return False
        try:
            self._closing.pop()
        except IndexError:
            return False
        try:
            if self.recording:
                self._send_end()
        finally:
            self.feed.closed = True
        if self.feed.terminated is not None:
            self.recorder.terminated.append(self.feed)
        return self.recording

    def _send_end(self) -> None:
        put, finished_ns = self.recorder.sink.put, self.monotonic_ns() + self._offset_ns
        if self.left_open and self.feed.terminated is None:
            put(self._item(Kind.CLOSE, finished_ns=finished_ns))
            return
        status, reason = self.outcome or (FAILED, None)
        if self.feed.terminated is not None:
            # The server that terminated it keeps its own status.
            status, reason = FAILED, self.feed.terminated
        counts = {"spans": self.spans, "lost": self.feed.lost}
        result = _capture.outcome_payload(self.status, reason, counts, self.rules)
        # With its payload: a server that does not have the span gets it whole.
        put(self._item(Kind.FINISH, status, finished_ns, self._payload, result))
        put(self._item(Kind.CLOSE, status, finished_ns))

    def abandon(self) -> None:
        """Close a run whose process ends before it did; one that was left open stays so."""
        self.outcome = self.outcome or (FAILED, "process ended")
        self.exited = True
        self.settle()

    @property
    def overdue(self) -> bool:
        """Whether the block has ended, and its spans have had `run_linger_s` to end."""
        if self._exited_ns is None or self.feed.closed:
            return False
        waited_ns = self.monotonic_ns() - self._exited_ns
        return not self.open or waited_ns >= self.recorder.run_linger_s * NS_PER_S

    def cancel_deferred(self) -> None:
        """End the spans that outlive their calls, because the process ends."""
        self._cancel_reported()
        for reference in list(self.deferred.values()):
            span = reference()
            if span is not None:
                span.cancel()

    def cancel_streams(self) -> None:
        """Cancel the spans of the run's streams, because the run was terminated.

        The code of a stream is stopped at its next item. One that is awaited on asyncio is stopped
        where it waits.
        """
        for key in list(self.feed.streams):
            reference = self.deferred.get(key)
            stream = None if reference is None else reference()
            if stream is not None:
                stream.cancel()
                stream.interrupt()

    def _item(
        self,
        kind: int,
        status: str | None = None,
        finished_ns: int | None = None,
        payload: bytes | None = None,
        result: bytes | None = None,
    ) -> Item:
        """Return an item about the run itself; its key is the root span's."""
        return Item(
            kind, self.feed.key, self.context.key, None, RUN_TYPE, self._started_ns,
            finished_ns, status, payload, result,
        )  # fmt: skip
