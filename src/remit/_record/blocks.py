"""The handles `Run` and `Span`, and the blocks that open and end a run or a span."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Final, NoReturn, Self, cast

from remit._base.clock import SystemClock
from remit._base.guard import guarded
from remit._base.ids import KEY_BYTES, key_text, new_key
from remit._base.outcomes import CANCELLED, FAILED
from remit._base.text import describe_value
from remit._capture.encode import Rules, capture_mapping, is_like_mapping, redacted_name
from remit._capture.errors import error_payload, failure_payload
from remit._inspect.introspection import is_a, type_name
from remit._record.asking import ApprovalPending, Ask, ask_later, ask_now
from remit._record.context import (
    nested_in,
    open_context,
    termination,
    traceparent_of,
    use_context,
)
from remit._record.items import AgentRef, Item, ItemKind, NoSink, RunFeed
from remit._record.runs import OpenRun, Recorder, Reservation, RunOptions, opened
from remit._record.spans import OpenSpan, SpanRecorder
from remit.errors import RunTerminated, UsageError


class Run:
    """A handle for one run of an agent, from `agent.run(...)` or `remit.current_run()`.

    The attributes can be read from any thread.
    """

    __slots__ = ("__weakref__", "_run")

    def __init__(self, run: OpenRun) -> None:
        self._run = run

    @property
    def key(self) -> str:
        """Key of the run, 26 characters. On the server, it is the run's `external_identifier`.

        The key is available immediately. If the run is left open, `agent.run(resume=run.key)`
        continues it. A run that is resumed by its key has the same key. A run that is resumed by
        its id has a new key, which the server does not know.
        """
        return self._run.feed.resumed_key or self._run.feed.key

    @property
    def id(self) -> str | None:
        """Id of the run on the server, or `None` until the server has registered the run."""
        return self._run.feed.instance_id

    @property
    def status(self) -> str:
        """`active`, `complete`, `failed`, `cancelled` or `terminated`."""
        return self._run.status

    @property
    def terminated(self) -> bool:
        """Whether a person or the policy terminated the run.

        Until the run ends, this is also true if an outer run was terminated. After a termination,
        remit does not start further steps of the run.
        """
        run = self._run
        ended = run.feed.terminated is not None
        return ended if run.exited else termination(run.context) is not None

    @guarded("a quality payload", passes=(UsageError,))
    def record_quality(self, name: str, payload: object) -> None:
        """Record scores for the run under *name*.

        If a payload does not match the agent's declaration, remit still sends it, and logs the
        difference once.

        Args:
            name: Name of the scores, as declared in `agent(quality=...)`.
            payload: A mapping, a model or a dataclass. It is redacted like every payload. `None`
                removes the scores.

        Raises:
            UsageError: If the name is empty or not a string, or the payload has the wrong type.
        """
        run = self._run
        if type(name) is not str or not name:
            raise UsageError(
                f"record_quality() got the name {describe_value(name)}; expected a string"
            )
        name = redacted_name(name.encode("utf-8", "replace").decode(), run.rules)
        if payload is not None and not is_like_mapping(payload):
            raise UsageError(
                f"record_quality({name!r}, ...) got an object of type {type_name(type(payload))}; "
                'expected a mapping or a model, as in {"score": 0.9}'
            )
        if not run.recording:
            return
        now_ns = run.now_ns()
        body = None if payload is None else capture_mapping(payload, run.rules)
        errors = None if body is None else run.quality_errors(name, body)
        key = new_key(now_ns)
        run.recorder.sink.put(
            Item(ItemKind.QUALITY, self.key, key, None, name, now_ns, None, None, body, errors)
        )

    def fail(self, reason: str | BaseException) -> None:
        """Mark the run as failed for *reason*. It gets this status when its block ends.

        Args:
            reason: A string, or an exception, which is recorded as if the block had raised it.
        """
        if is_a(reason, BaseException):
            self._run.fail(cast("BaseException", reason))
        else:
            self._run.decide(FAILED, cast("str", reason))

    def cancel(self) -> None:
        """Mark the run as cancelled. It gets this status when its block ends."""
        self._run.decide(CANCELLED)

    def leave_open(self) -> None:
        """Leave the run open after its block, so that `agent.run(resume=run.key)` can continue it.

        The run and its root span stay active on the server. If the block raises an exception whose
        type is in the `control_flow` setting, the run is also left open. If you call several of
        `fail`, `cancel` and `leave_open`, only the last call has an effect.
        """
        self._run.leave_open()

    @contextmanager
    def use(self) -> Generator[Run]:
        """Make the run current inside a block, for example in a thread or a callback.

        If the block is inside the block of another run, the remits of both runs apply, and the
        termination of either run stops the steps.
        """
        with use_context(nested_in(self._run.context, open_context())):
            yield self

    def contained(self) -> Contained:
        """Return a block that catches the termination of this run.

        Execution continues after the block. Use it in code that serves many runs in one task group.
        Without it, the exception would end all of them. The block catches the `RunTerminated` of
        this run, even inside an exception group. If a step of an inner run terminated both runs,
        the block also catches the inner run's `RunTerminated`. All other exceptions pass through.

        ```python
        with agent.run() as run:
            with run.contained() as ended:
                answer = agent(question)
            if ended:
                answer = f"This session was ended: {ended.reason}"
        ```
        """
        return Contained(self._run.feed)

    def __repr__(self) -> str:
        return f"<Run {self._run.feed.agent.external_identifier} {self.key} {self.status}>"


class Contained:
    """A block that catches the termination of a run; see `Run.contained`.

    The object is true if the termination ended the block.

    Attributes:
        reason: Reason for the termination. None if there is no reason, or if the block ended in
            another way.
    """

    __slots__ = ("_ended", "_feed", "reason")

    def __init__(self, feed: RunFeed) -> None:
        self._feed = feed
        self._ended = False
        self.reason: str | None = None

    def __bool__(self) -> bool:
        return self._ended

    def __enter__(self) -> Self:
        """Return this object, which shows afterwards how the block ended."""
        return self

    def __exit__(self, exc_type: object, error: BaseException | None, traceback: object) -> bool:
        """Suppress the termination; raise the other exceptions of a group."""

        # A function, because Python before 3.13 takes no method here.
        def is_termination(member: BaseException) -> bool:
            if not isinstance(member, RunTerminated):
                return False
            # A step of an inner run that violates the remit of this one terminates both.
            if member.run_key != self._feed.key and self._feed.terminated is None:
                return False
            self._ended, self.reason = True, member.reason
            return True

        if not isinstance(error, BaseExceptionGroup):
            return error is not None and is_termination(error)
        taken, rest = cast("BaseExceptionGroup[BaseException]", error).split(is_termination)
        if taken is not None and rest is not None:
            raise rest
        return taken is not None


def handle_of(run: OpenRun) -> Run:
    """Return the public handle of a run, the same object as long as something refers to it."""
    handle = run.handle()
    if handle is None:
        handle = Run(run)
        with suppress(MemoryError):
            run.handle = weakref.ref(handle)
    return cast("Run", handle)


def current_run() -> Run | None:
    """Return the current run, or `None` outside any run."""
    context = open_context()
    return None if context is None else handle_of(context.run)


@cache
def null_run() -> OpenRun:
    """Return the run behind the handle of a run that could not be opened; it records nothing."""
    return OpenRun(
        Recorder(NoSink(), SystemClock(), Rules()),
        AgentRef("", "", None, None, None, dict),
        RunOptions("live"),
        recording=False,
        ceilings=(),
    )


# Made now: when a run cannot be opened, memory may be short.
_null_handle: Final = handle_of(null_run())


_ATTRIBUTES_OF_RUN: Final = frozenset(name for name in vars(Run) if not name.startswith("_"))


class RunBlock:
    """The block of `with agent.run(...)`; sync and async, used once."""

    __slots__ = ("_entered", "_on_unused", "_open", "_run")

    def __init__(
        self, open_run: Callable[[], OpenRun], on_unused: Callable[[], object] | None = None
    ) -> None:
        """Prepare the block; nothing happens before it is entered.

        Args:
            on_unused: Called when the block is collected without having been entered.
        """
        self._open: Callable[[], OpenRun] | None = open_run
        self._on_unused = on_unused
        self._run: OpenRun | None = None
        self._entered: use_context | None = None

    def __enter__(self) -> Run:
        if self._open is None:
            message = "a run's block was entered twice: call agent.run() again for another run"
            raise UsageError(message)
        open_run, self._open = self._open, None
        self._run = opened(open_run)
        # If the run could not be opened, the block must not record into the run around it.
        self._entered = use_context(None if self._run is None else self._run.context)
        self._entered.__enter__()
        return _null_handle if self._run is None else handle_of(self._run)

    def __exit__(self, exc_type: object, error: BaseException | None, traceback: object) -> None:
        """End the run's block, and restore the previous context."""
        self._exit(error, awaited=False)

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: object, error: BaseException | None, traceback: object
    ) -> None:
        """End the run's block, as the sync form does, without blocking the event loop."""
        awaited = not issubclass(type(error), GeneratorExit)
        run = self._exit(error, awaited=awaited)
        flushing = run.recorder.after_run.call_async() if run is not None and awaited else None
        if flushing is not None:
            await flushing

    def __del__(self) -> None:
        """Report a block that was never entered, where the program drops it."""
        if self._open is not None and self._on_unused is not None:
            self._on_unused()

    if not TYPE_CHECKING:  # type checkers find these mistakes themselves

        def __await__(self) -> NoReturn:
            """Raise an error that names the block."""
            raise TypeError(
                "agent.run() is a block and cannot be awaited: write "
                "`async with agent.run() as run: await agent(...)`"
            )

        def __getattr__(self, name: str) -> NoReturn:
            """Raise an error, which says of an attribute of `Run` where the run is."""
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            if name in _ATTRIBUTES_OF_RUN:
                message += f": the block returns the run, `with agent.run() as run: run.{name}`"
            raise AttributeError(message)

    def _exit(self, error: BaseException | None, *, awaited: bool) -> OpenRun | None:
        run, self._run = self._run, None
        entered, self._entered = self._entered, None
        try:
            if entered is not None:
                entered.__exit__()
        finally:
            if run is not None:
                run.exit(error, awaited=awaited)
        return run


class Span:
    """A handle for a span, from `remit.span(...)` or `remit.current_span()`.

    Two handles are equal if their keys are equal.

    Attributes:
        name: Span type.
    """

    __slots__ = ("_key", "_run", "name")

    def __init__(self, key: bytes, name: str, run: OpenRun | None) -> None:
        self._key = key
        self._run = run
        self.name = name

    @property
    def key(self) -> str:
        """Key of the span, 26 characters."""
        return key_text(self._key)

    @property
    def run(self) -> Run | None:
        """The span's run, or None outside any run."""
        return None if self._run is None else handle_of(self._run)

    def set_result(self, result: Mapping[str, object]) -> None:
        """Set the span's result. It is recorded instead of the return value.

        Args:
            result: The value to record. It is redacted and cut like the result of a call.
        """
        self._override(result, failed=False)

    def fail(self, reason: str | BaseException) -> None:
        """Mark the span as failed for *reason*, even if its block ends normally.

        Args:
            reason: A string, or an exception, which is recorded as if the block had raised it.
        """
        self._override(reason, failed=True)

    @guarded("a result set by hand")
    def _override(self, value: object, *, failed: bool) -> None:
        run = self._run
        span = None if run is None else run.open.get(self._key)
        if run is None or not isinstance(span, OpenSpan):
            return
        plan = span.recorder.plan()
        if is_a(value, BaseException):
            error = cast("BaseException", value)
            captured = error_payload(error, run.rules, plan.error_rule)
        elif failed:
            captured = failure_payload(value, run.rules, plan.error_rule)
        else:
            captured = plan.result(value, run.rules)
        result, failure = run.overrides.get(self._key, (None, None))
        run.overrides[self._key] = (result, captured) if failed else (captured, failure)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Span) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"<Span {self.name} {self.key}>"


def current_span() -> Span | None:
    """Return a handle for the current span, or `None` outside any run.

    Directly inside a run's block, the current span is the root span, `remit:run`.
    """
    context = open_context()
    return None if context is None else Span(context.key, context.name, context.run)


def trace_headers() -> dict[str, str]:
    """Return headers that link a run in another process to this run, or `{}` outside any run.

    Send the headers with a request, a message or a task. If the other process opens its run with
    `agent.run(traceparent=...)`, the output of `remit runs show` for each of the two runs also
    lists the other run.

    Returns:
        `{"traceparent": ...}`, the W3C Trace Context header for the current span. The trace id is
        the run's key.
    """
    header = traceparent_of(open_context())
    return {} if header is None else {"traceparent": header}


@guarded("the key of a block", bytes(KEY_BYTES))
def _some_key() -> bytes:
    """Return a key for the handle of a span that is not recorded."""
    return new_key(0)


class SpanBlock:
    """The block of `with remit.span(...)`; sync and async, used once."""

    __slots__ = ("_entered", "_name", "_outside", "_payload", "_recorder", "_span", "_used")

    def __init__(
        self,
        name: str,
        payload: Mapping[str, object],
        recorder: SpanRecorder,
        outside: Callable[[SpanRecorder], object],
    ) -> None:
        """Prepare the block; *outside* is called without a run, and may raise `DeniedError`."""
        self._name = name
        self._payload = payload
        self._recorder = recorder
        self._outside = outside
        self._span: OpenSpan | None = None
        self._used = False

    def __enter__(self) -> Span:
        return self._enter(ask_now)

    def _enter(self, ask: Ask | None, reservation: Reservation | None = None) -> Span:
        if self._used and ask is not None:
            message = "a remit.span(...) block was entered twice: create a new one for each block"
            raise UsageError(message)
        self._used = True
        parent, recorder = open_context(), self._recorder
        if parent is None:
            self._outside(recorder)
            return Span(_some_key(), self._name, None)
        span = recorder.start(parent, (), self._payload, None, ask, reservation)
        if not isinstance(span, OpenSpan):
            return Span(_some_key(), self._name, None)
        self._span, context = span, span.context
        self._entered = use_context(context)
        self._entered.__enter__()
        return Span(context.key, self._name, context.run)

    def __exit__(self, exc_type: object, error: BaseException | None, traceback: object) -> None:
        """End the span: failed or cancelled by an exception, else complete."""
        span, self._span = self._span, None
        if span is None:
            return
        try:
            self._entered.__exit__()
        finally:
            if error is None:
                span.complete(None)
            else:
                span.fail(error)

    async def __aenter__(self) -> Span:
        try:
            return self._enter(ask_later)
        except ApprovalPending as pending:
            asking = pending.asking
        await asking.later()
        return self._enter(None, asking.reservation)

    async def __aexit__(
        self, exc_type: object, error: BaseException | None, traceback: object
    ) -> None:
        """End the span, as the sync form does."""
        self.__exit__(exc_type, error, traceback)
