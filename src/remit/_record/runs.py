"""Runs while they last: what all share (`Recorder`), the context of code, and `OpenRun`.

One context variable holds the `SpanContext` in which code is executing. It is set and restored by
value, never by a token: a coroutine, a `with` block or a generator may be resumed, closed or
collected in another context, where resetting by a token raises. `remit._record.context` does it.
"""

from __future__ import annotations

import contextvars
import os
import platform
import threading
import weakref
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, Protocol, TypeAlias, cast

import msgspec
from contextvars_extras import ContextVarsRegistry
from msgspec import Struct, field
from msgspec.structs import replace

from remit._base.clock import NS_PER_S, Clock
from remit._base.guard import guarded, logger
from remit._base.ids import key_from_text, key_of, key_text, new_key
from remit._base.loops import is_own_thread
from remit._base.outcomes import (
    ACTIVE,
    CANCELLED,
    COMPLETE,
    FAILED,
    TERMINATED,
    is_only,
    status_of,
)
from remit._base.text import describe_value
from remit._base.version import SDK
from remit._capture.encode import Rules, capture_mapping
from remit._capture.errors import error_payload, outcome_payload, reason_of
from remit._declare.registry import RUN_TYPE, SpanType
from remit._policy.holds import Hold
from remit._policy.limits import Ceilings
from remit._policy.maxima import Counted
from remit._record.about import NOTHING, About, about_var, captured_members, texts_of
from remit._record.approvals import Approver, AsksOfRuns, RunAsks
from remit._record.items import AgentRef, Item, ItemKind, RunFeed, Sink, nothing
from remit._record.waiting import WaitingRun, WaitingRuns
from remit.errors import DeniedError, SettingsError, UsageError

OBSERVE: Final = "observe"
TERMINATE: Final = "terminate"
# Entries of the sets and counters of a recorder: the names of blocks may be unbounded.
MAX_LOGGED: Final = 1_000

contributed_interrupts: Final[list[type[BaseException]]] = []
"""Exception types by which the frameworks of adapters pause a run."""


class AfterRun:
    """Action at the end of a run: none, as delivery follows its interval."""

    def __call__(self) -> None:
        """Act on the end of a run, without blocking an event loop."""

    def call_async(self) -> Awaitable[None] | None:
        """Act on the end of a run in an event loop; return what to await, or None."""
        return None


class CancellableSpan(Protocol):
    """A span that can be ended from outside, as cancelled."""

    def cancel(self, ended_ns: int | None = None) -> None:
        """End the span as of *ended_ns*; None is now."""
        ...


class StartedSpan(Protocol):
    """A span that has started (`remit._record.spans.OpenSpan`).

    Attributes:
        recorder: Its `remit._record.spans.SpanRecorder`.
    """

    start: Item
    recorder: Any


class OutlivingSpan(CancellableSpan, Protocol):
    """A span that outlives its call (`remit._record.streams.DeferredSpan`)."""

    def terminate(self) -> None:
        """Act on the termination of the run."""
        ...


class ReportedSpan(CancellableSpan, Protocol):
    """A span that an adapter starts and ends (`remit._adapters.ManualSpan`).

    Attributes:
        denied: The denial of a step below it.
        reservation: What it counts for; None if it counts for nothing.
    """

    denied: DeniedError | None
    reservation: Reservation | None


CountedIn: TypeAlias = tuple[RunFeed, tuple[str, str]]
"""The run in which a step counts; the agent and the action, or `steps`, that it counts for."""


class Reservation(Struct, eq=False):
    """What one step counts for towards limits (`remit._record.counts`).

    Attributes:
        places: Where it counts; empty after it was given back, and if it did not get a place.
        exceeded: The limits that it is beyond.
    """

    places: list[CountedIn] = field(default_factory=list[CountedIn])
    exceeded: tuple[Counted, ...] = ()


class Recorder(Struct, frozen=True):
    """Sink, clock and settings that all runs of one runtime share.

    Attributes:
        control_flow: Exception types that interrupt without failing, from the setting.
        approver: Asks a person whether a step may run; None refuses such steps.
        ask_timeout_s: Seconds within which an answer has to come.
        use_seal: Uses a seal at the server, and returns why no step may run because of it, else
            None. Without it, seals are used in this process only.
        asks: What is known of the questions of the latest runs.
        run_linger_s: Seconds that a run whose block has ended waits for its open spans.
        after_run: Called when a run's block has ended, and when a run ends after its block.
        registers: Called with agent, name and declaration of a span type that is used in a run of
            the agent, until it returns true. Returns whether the registration includes the type.
        logged: Messages that were logged already; each is logged once.
        violations: How often each step violated a remit, by name.
        runs: The recording runs that have not ended, and those with open streams. It may hold the
            only reference to a run whose block has ended. No set: CPython fills one that cannot
            grow for lack of memory, and then searches it without end.
        terminated: Feeds of the latest terminated runs, which are not resumed.
        holds: The holds in force that this process knows; delivery replaces them in place.
        waiting: The runs of the process that wait for a person's answer.
        collected: Spans to end, with the time. A finalizer that runs in one of remit's own threads
            only appends to it; the writer ends the spans at its next pass.
    """

    sink: Sink
    clock: Clock
    rules: Rules
    on_violation: str = OBSERVE
    control_flow: tuple[type[BaseException], ...] = ()
    approver: Approver | None = None
    ask_timeout_s: float = 120.0
    use_seal: Callable[[str], str | None] | None = None
    asks: AsksOfRuns = field(default_factory=AsksOfRuns)
    run_linger_s: float = 300.0
    after_run: AfterRun = field(default_factory=AfterRun)
    registers: Callable[[str, str, SpanType | None], bool] = lambda _agent, _name, _type: True
    logged: set[str] = field(default_factory=set[str])
    violations: Counter[str] = field(default_factory=Counter[str])
    runs: dict[OpenRun, None] = field(default_factory=dict["OpenRun", None])
    terminated: deque[RunFeed] = field(default_factory=lambda: deque[RunFeed](maxlen=MAX_LOGGED))
    holds: list[Hold] = field(default_factory=list[Hold])
    waiting: WaitingRuns = field(default_factory=WaitingRuns)
    collected: deque[tuple[CancellableSpan, int]] = field(
        default_factory=deque[tuple[CancellableSpan, int]]
    )

    @property
    def interrupts(self) -> tuple[type[BaseException], ...]:
        """Exception types that interrupt without failing, from the setting and from adapters."""
        return (*self.control_flow, *contributed_interrupts)

    def close(self, span: CancellableSpan, ended_ns: int) -> None:
        """Cancel a span whose code was closed; on remit's own threads at the writer's next pass."""
        if is_own_thread():
            self.collected.append((span, ended_ns))
        else:
            span.cancel(ended_ns)

    def end_collected(self) -> None:
        """End the spans that finalizers left to the writer."""
        with suppress(IndexError):  # another thread may be faster
            while self.collected:
                span, ended_ns = self.collected.popleft()
                span.cancel(ended_ns)

    def is_first(self, topic: str) -> bool:
        """Return whether *topic* was not logged before; it counts as logged from now on."""
        if topic in self.logged or len(self.logged) >= MAX_LOGGED:
            return False
        self.logged.add(topic)
        return True


# The context of a call


class SpanContext(Struct, frozen=True, eq=False):
    """In which run and under which span a call is made. Equal to itself only.

    Attributes:
        outer_runs: The other runs in whose blocks it is.
    """

    run: OpenRun
    key: bytes
    name: str
    ceilings: Ceilings
    outer_runs: tuple[OuterRun, ...] = ()


class OuterRun(Struct, frozen=True, eq=False):
    """A run in whose block another run is used: its ceilings and its termination apply as well.

    It refers to the run weakly. Otherwise tasks that each open a run and start the next task in it
    would keep all their runs in memory.

    Attributes:
        ceilings: The ceilings at the place where the other run is used.
        run: Returns the run, None if nothing else refers to it.
    """

    feed: RunFeed
    ceilings: Ceilings
    key: bytes
    run: weakref.ref[OpenRun]


class Ambient(ContextVarsRegistry):
    """Declares the context variable.

    Attributes:
        context: The `SpanContext` in which code is executing; None outside any run.
    """

    _registry_allocate_on_setattr = False

    context: object = None


context_var: Final[contextvars.ContextVar[object]] = vars(Ambient)["context"].context_var

# As functions: CPython 3.11 creates a method object for every call of a method of an imported
# object (0.05 us).
current_context: Final = cast("Callable[[], SpanContext | None]", context_var.get)
"""Returns the current context, or None outside any run."""
set_context: Final = context_var.set
"""Makes a context current."""


def outer_runs(outer: SpanContext | None) -> tuple[OuterRun, ...]:
    """Return the run of *outer* and the runs around it, without those that ended normally."""
    if outer is None:
        return ()
    run = outer.run
    runs = (OuterRun(run.feed, outer.ceilings, outer.key, weakref.ref(run)), *outer.outer_runs)
    return tuple(each for each in runs if each.feed.terminated is not None or not each.feed.closed)


def about_within(context: SpanContext | None) -> About:
    """Return what is said of a run that begins in *context*: by its run, or a block inside that."""
    about = about_var.get()
    if context is None or about.run_key == context.run.feed.key:
        return about
    return context.run.about


# Runs


class RunOptions(Struct, frozen=True):
    """The arguments that a run is opened with.

    Attributes:
        about: Conversation, subject, and on whose behalf it runs.
        labels: Words, or pairs of words, to find the run by.
        resume: Id or key of the instance to resume, if any.
        traceparent: The W3C header of the surrounding trace, to link it.
        goes_on: Whether it goes on with the run of its agent and conversation that waits for an
            answer. False ends the wait: the conversation goes on without an answer.
    """

    purpose: str
    about: About = NOTHING
    labels: object = None
    resume: str | None = None
    traceparent: str | None = None
    goes_on: bool | None = None


def _root_payload(options: RunOptions, pid: int) -> dict[str, object]:
    """Return the payload of a run's root span, before it is captured."""
    payload: dict[str, object] = {
        **texts_of(options.about),
        "subject": options.about.subject,
        "labels": options.labels,
        "purpose": options.purpose,
        "sdk": SDK,
        "pid": pid,
        "host": platform.node(),
    }
    if options.traceparent is not None:
        payload["traceparent"] = options.traceparent
    if has_new_input(options):
        payload["new_input"] = True
    return payload


def has_new_input(options: RunOptions) -> bool:
    """Return whether a run does not answer what waits in its conversation, which ends the wait."""
    return options.goes_on is False and options.about.conversation is not None


_NO_SUBJECT: Final = b'{"subject":null,'
"""How the captured payload of a run without a subject begins."""


@lru_cache
def _plain_payload(purpose: str, pid: int) -> bytes:
    """Return the captured payload of a run that was given nothing, as most are."""
    return capture_mapping(_root_payload(RunOptions(purpose), pid), Rules())


def _captured_payload(options: RunOptions, pid: int, rules: Rules) -> bytes:
    """Return the captured payload of a run's root span."""
    if rules.hook is None and options.labels is None and options.traceparent is None:
        plain = _plain_payload(options.purpose, pid)
        if options.about is NOTHING:
            return plain
        # Texts that recur, such as the id of a conversation, are captured once.
        members = captured_members(options.about, rules.off)
        if members is not None and has_new_input(options):
            members += b',"new_input":true'
        if members is not None:
            separator = b"," if members else b""
            rest = plain[1:] if options.about.subject is None else plain[len(_NO_SUBJECT) :]
            payload = b"{" + members + separator + rest
            if len(payload) <= rules.max_payload_bytes:
                return payload
    return capture_mapping(_root_payload(options, pid), rules)


class OpenRun:
    """One run, from the start of its block to the end of its last span.

    It is in no reference cycle, so that an ended run leaves the garbage collector nothing to do.

    Attributes:
        about: What is said of the run, which the runs that begin inside take over.
        feed: Shared with delivery; holds the key of the run.
        recording: False in mode `off`: spans of this run record nothing.
        rules: Redaction and limits, with the texts that the run has redacted.
        deferred: The streams that were called, and the returned coroutines, that have not ended, by
            key of the span (`remit._record.streams.DeferredSpan`).
        open: The open spans by key, without the root; None for the streams that were called and
            have not begun.
        reported: The open spans of adapters, by key; they end with the run's block. Those that
            start after it are not in `open`, and end with the run.
        overrides: What the user set by hand, by span key: the result and the failure, as JSON.
        outcome: Status and reason with which the run ends; None until decided.
        left_open: Whether the run stays open after its block, to be resumed.
        idle_ns: How long a run without a block may be unused before it ends; None for others.
        used_ns: Monotonic time at which such a run was last used.
        handle: Returns the public `Run`; None if nothing else refers to it, or before it is made.
        monotonic_ns: The method of the recorder's clock.
        offset_ns: Wall time minus monotonic time, for spans that start now.
    """

    __slots__ = (
        "__weakref__", "_ceilings", "_close_once", "_completed", "_exited_ns", "_first_context",
        "_offset_ns", "_outer_runs", "_outliving", "_payload", "_pid", "_started_ns", "about",
        "deferred", "error", "exited", "feed", "handle", "idle_ns", "left_open", "monotonic_ns",
        "offset_ns", "open", "outcome", "overrides", "recorder", "recording", "reported", "rules",
        "spans", "used_ns",
    )  # fmt: skip

    def __init__(
        self,
        recorder: Recorder,
        agent: AgentRef,
        options: RunOptions,
        *,
        recording: bool,
        ceilings: Ceilings,
    ) -> None:
        """Open the run: make its key and, if it records, its root span."""
        outer = current_context()
        self.recorder: Final = recorder
        self.recording: Final = recording
        self.about: Final = options.about
        shared = outer.run.rules if recording and outer is not None else None
        package = agent.external_identifier.partition(":")[0].partition(".")[0]
        self.rules: Final[Rules] = recorder.rules.in_run(shared, package)
        self.monotonic_ns: Final = recorder.clock.monotonic_ns
        self.offset_ns = 0
        self.set_clock()
        self._offset_ns = self.offset_ns
        self._started_ns = self.now_ns()
        key = new_key(self._started_ns)
        # The trace id of the run's `traceparent`, by which the run is found: it has this key, or
        # resumes the instance of this key.
        resume = options.resume or ""
        resumed_key = key_from_text(resume)
        waiting = _waiting_run(recorder, agent, options)
        root = resumed_key or key_of(resume) or (waiting and waiting.root) or key
        self.feed: Final = RunFeed(
            key_text(key),
            agent,
            options.purpose,
            root=root,
            instance_id=options.resume if resumed_key is None else None,
            resumed_key=options.resume if resumed_key is not None else None,
            continues=None if waiting is None else waiting.key,
            conversation=options.about.conversation,
        )
        self.feed.run = weakref.ref(self)
        self._ceilings = ceilings
        self._outer_runs = outer_runs(outer)
        # Made here, where a lack of memory is contained; it is handed over at its first use.
        self._first_context: SpanContext | None = None
        self._first_context = self.context
        self.deferred: Final[dict[bytes, weakref.ref[OutlivingSpan]]] = {}
        self.open: Final[dict[bytes, StartedSpan | None]] = {}
        self.reported: Final[dict[bytes, ReportedSpan]] = {}
        self.overrides: Final[dict[bytes, tuple[bytes | None, bytes | None]]] = {}
        self.spans = 0
        self.handle: Callable[[], object] = nothing
        self.outcome: tuple[str, str | None] | None = None
        self.error: bytes | None = None
        self.left_open = False
        self.exited = False
        self.idle_ns: int | None = None
        self.used_ns = 0
        self._exited_ns: int | None = None
        self._outliving: frozenset[bytes] = frozenset()
        self._completed = False
        self._payload: bytes | None = None
        self._pid = os.getpid()
        # Its block, its last span and the writer may end the run: whichever takes the lock does.
        self._close_once = threading.Lock()
        if recording:
            self._announce(options)
            # Afterwards: a run that a signal handler interrupted before it began has no end.
            recorder.runs[self] = None

    @property
    def context(self) -> SpanContext:
        """The context directly under the root span, a new object each time."""
        first, self._first_context = self._first_context, None
        if first is not None:
            return first
        return SpanContext(self, self.feed.root, RUN_TYPE, self._ceilings, self._outer_runs)

    def set_clock(self) -> None:
        """Follow the wall clock, which may have been set, for spans that start from now on.

        A clock before 1970 counts as its first moment: keys hold no earlier time.
        """
        self.offset_ns = max(self.recorder.clock.wall_ns(), 0) - self.monotonic_ns()

    def now_ns(self) -> int:
        """Return the wall time."""
        return self.monotonic_ns() + self.offset_ns

    @guarded("the start of a run")
    def _announce(self, options: RunOptions) -> None:
        self._payload = _captured_payload(options, self._pid, self.rules)
        sink = self.recorder.sink
        if self.feed.resumed:
            # The server still has the root span, which was left open.
            is_told = options.about is not about_within(current_context())
            if is_told or options.labels is not None or options.traceparent is not None:
                self._warn(
                    "run(resume=...) got arguments of a new run, such as a subject or labels; the "
                    "run keeps the earlier ones"
                )
            sink.open_run(self._item(ItemKind.RUN, payload=self._payload), self.feed)
            return
        if self.feed.continues is not None:
            # If the server does not know the waiting run, delivery makes the root span of it.
            sink.open_run(self._item(ItemKind.RUN, payload=self._payload), self.feed)
            return
        sink.open_run(self._item(ItemKind.RUN), self.feed)
        sink.put(self._item(ItemKind.SPAN, status=ACTIVE, payload=self._payload))

    @property
    def asks(self) -> RunAsks:
        """What is known of the run's questions; the first use makes room for it."""
        return self.recorder.asks.of(self.feed.root)

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
        self.error = None
        self.left_open = False
        self._completed = False

    @guarded("the failure of a run")
    def fail(self, error: BaseException) -> None:
        """End the run as failed with *error*, however its block ends."""
        self.decide(FAILED, reason_of(error, self.rules))
        if self.recording:
            # The user's hook gets it with the rest of the result.
            rules = replace(self.rules, hook=None)
            self.error = error_payload(error, rules, self.feed.agent.error_rule())

    def leave_open(self) -> None:
        """Leave the run open after its block, however the block ends."""
        if self.outcome is not None and self.outcome[0] == FAILED:
            self._warn(
                "leave_open() was called after fail(): the last call counts, so the run stays open "
                "and its failure is not recorded"
            )
        self.left_open = True

    @guarded("the log of a run")
    def _warn(self, message: str) -> None:
        """Log *message* once for each agent."""
        agent = self.feed.agent.external_identifier
        if self.recorder.is_first(f"{agent}: {message}"):
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
        """End the block, with *error* if one ended it; the run closes when its last span has ended.

        If *awaited*, the caller itself acts on the end of the run (`AfterRun.call_async`).
        """
        self._cancel_reported()
        if self.outcome is None and not self.left_open:
            self._conclude(error)
        self._exited_ns = self.monotonic_ns()
        self._outliving = frozenset(self.open)
        self.exited = True
        if not self.open:
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
            if status == FAILED:
                self.fail(error)
            else:
                reason = None if status == COMPLETE else reason_of(error, self.rules)
                self.decide(status, reason)

    def fail_after_block(self, key: bytes, parent: bytes | None, error: BaseException) -> None:
        """Fail a run whose block completed, because a span that outlived the block failed.

        A span inside another open span does not count: the outer code may catch the exception.
        """
        if key not in self._outliving or parent in self.open:
            return
        if self._completed or (self.outcome is not None and self.outcome[0] == COMPLETE):
            self.fail(error)

    def cancel_after_block(self, key: bytes, parent: bytes | None) -> None:
        """Cancel the root span of a run whose block completed, because a span that outlived it was.

        That is the stream of a client that left. The instance ends as complete.
        """
        outlived = key in self._outliving and parent not in self.open
        if outlived and self.outcome is not None and self.outcome[0] == COMPLETE:
            self.decide(CANCELLED)
            self._completed = True

    def note_denial(self, key: bytes | None, error: DeniedError) -> None:
        """Note a denial on the adapters' spans among the span *key* and its ancestors."""
        while key is not None and self.reported:
            span = self.reported.get(key)
            if span is not None:
                span.denied = error
            open_span = self.open.get(key)
            key = None if open_span is None else open_span.start.parent

    def defer(self, key: bytes, span: OutlivingSpan) -> None:
        """Note a span that outlives its call, also one that is called after the run has ended."""
        self.deferred[key] = weakref.ref(span)
        if self.exited:
            self.recorder.runs[self] = None
            self.feed.run = weakref.ref(self)

    def discard(self, key: bytes) -> None:
        """Remove an ended span from the open ones; after the last one, an exited run closes."""
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
        """Close the run, once, if this process opened it; return whether a recording run closed."""
        closing = self._pid == os.getpid() and self._close_once.acquire(blocking=False)
        if closing:
            try:
                self._cancel_reported()
                if self.recording:
                    self._send_end()
            finally:
                self.feed.closed = True
            if self.feed.terminated is not None:
                self.recorder.terminated.append(self.feed)
        if not self.deferred:
            self.recorder.runs.pop(self, None)
            self.feed.run = nothing
        return closing and self.recording

    def _send_end(self) -> None:
        put, finished_ns = self.recorder.sink.put, self.monotonic_ns() + self._offset_ns
        if self.left_open and self.feed.terminated is None:
            put(self._item(ItemKind.CLOSE, finished_ns=finished_ns))
            return
        status, reason = self.outcome or (FAILED, None)
        if self.feed.terminated is not None:
            # The server keeps its own status `terminated`.
            status, reason = FAILED, self.feed.terminated
        counts = {"spans": self.spans, "lost": self.feed.lost}
        error = self.error if status == FAILED and self.feed.terminated is None else None
        result = outcome_payload(self.status, reason, counts, self.rules, error)
        # With the payload, for a server that does not have the span.
        put(self._item(ItemKind.FINISH, status, finished_ns, self._payload, result))
        completed = self._completed and self.feed.terminated is None
        put(self._item(ItemKind.CLOSE, COMPLETE if completed else status, finished_ns))

    def abandon(self) -> None:
        """End the open spans and the run because the process ends.

        A run that was left open stays open. A session that is idle is complete.
        """
        is_idle = self.idle_ns is not None and not self.open
        self._cancel_reported()
        for span in self._deferred():
            span.cancel()
        if not self.feed.closed:
            ended = (COMPLETE, None) if is_idle else (FAILED, "process ended")
            self.outcome = self.outcome or ended
            self.exited = True
            self.settle()

    def tick(self) -> None:
        """Regular work of the writer: follow the clock; end the streams of a terminated run.

        Also ends a run without a block that is idle, and a run whose block has ended and whose open
        spans have had `run_linger_s` to end.
        """
        self.set_clock()
        if self.feed.terminated is not None:
            for span in self._deferred():
                span.terminate()
        now_ns = self.monotonic_ns()
        if self.open:
            self.used_ns = now_ns
        elif self.idle_ns is not None and now_ns - self.used_ns > self.idle_ns and not self.exited:
            self.exit(None)
        if self._exited_ns is not None:
            waited_ns = now_ns - self._exited_ns
            if not self.open or waited_ns >= self.recorder.run_linger_s * NS_PER_S:
                self.settle()

    def _deferred(self) -> list[OutlivingSpan]:
        spans = [reference() for reference in list(self.deferred.values())]
        return [span for span in spans if span is not None]

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
            kind, self.feed.key, self.feed.root, None, RUN_TYPE, self._started_ns,
            finished_ns, status, payload, result,
        )  # fmt: skip


def _waiting_run(recorder: Recorder, agent: AgentRef, options: RunOptions) -> WaitingRun | None:
    """Return the waiting run with which a run goes on, without keys if the process has none."""
    conversation, name = options.about.conversation, agent.external_identifier
    if conversation is None or options.goes_on is None or options.resume is not None:
        return None
    if not options.goes_on:
        recorder.waiting.discard(name, conversation)
        return None
    return recorder.waiting.get(name, conversation) or WaitingRun("", b"")


@guarded("the start of a run", passes=(DeniedError, SettingsError, UsageError))
def opened(open_run: Callable[[], OpenRun]) -> OpenRun:
    """Return the run that *open_run* opens; None after a fault."""
    return open_run()
