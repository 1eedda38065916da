"""The public side of a run: the handle `Run`, and the block that opens and ends a run."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from types import TracebackType
from typing import cast

from remit import _capture
from remit._base.clock import SystemClock
from remit._base.guard import guarded
from remit._base.ids import new_key
from remit._base.outcomes import CANCELLED, FAILED, Contained
from remit._base.text import describe_value
from remit._record.context import nested_in, terminated_around, use_context
from remit._record.items import AgentRef, Item, Kind, NoSink
from remit._record.runs import (
    OpenRun,
    Recorder,
    RunOptions,
    current_context,
)
from remit.errors import DeniedError, SettingsError, UsageError


class Run:
    """A handle on one run of an agent: its key, its quality, its end.

    Made by `agent.run(...)`. Attributes are safe to read from any thread.
    """

    __slots__ = ("__weakref__", "_run")

    # Unguarded: an assignment.
    def __init__(self, run: OpenRun) -> None:
        """Hold *run*."""
        self._run = run

    @property
    def key(self) -> str:
        """Key of the run, 26 characters, made here; the server's `external_identifier`."""
        return self._run.feed.key

    @property
    def id(self) -> str | None:
        """The server's id of the instance; `None` until its registration was answered."""
        return self._run.feed.instance_id

    @property
    def status(self) -> str:
        """`active`, `complete`, `failed`, `cancelled` or `terminated`."""
        return self._run.status

    @property
    def terminated(self) -> bool:
        """Whether the run was terminated, from outside or by its agent's remit.

        While the run lasts, also true if a run around it was terminated: no step begins any more.
        """
        run = self._run
        ended = run.feed.terminated is not None
        return ended if run.exited else terminated_around(run.context) is not None

    @guarded("a quality payload")
    def record_quality(self, name: str, payload: object) -> None:
        """Record the quality of the run under *name*.

        A payload that differs from the agent's declaration is sent, and logged once.

        Args:
            name: Name of the quality, as declared by `agent(quality=...)`.
            payload: A mapping, a model or a dataclass, redacted like every payload. Any other value
                is recorded under `value`; `None` removes the name.
        """
        run = self._run
        if not run.recording:
            return
        if type(name) is not str or not name:
            raise UsageError(
                f"record_quality() got the name {describe_value(name)}; expected a text"
            )
        name = _capture.redacted_name(name.encode("utf-8", "replace").decode(), run.rules)
        now_ns = run.now_ns()
        body = None if payload is None else _capture.capture_mapping(payload, run.rules)
        errors = None if body is None else run.quality_errors(name, body)
        key = new_key(now_ns)
        run.recorder.sink.put(
            Item(Kind.QUALITY, self.key, key, None, name, now_ns, None, None, body, errors)
        )

    def fail(self, reason: str | BaseException) -> None:
        """End the run as failed when its block ends; the *reason* of an error is its type."""
        is_error = issubclass(type(reason), BaseException)
        self._run.decide(FAILED, type(reason).__qualname__ if is_error else cast("str", reason))

    def cancel(self) -> None:
        """End the run as cancelled when its block ends."""
        self._run.decide(CANCELLED)

    def leave_open(self) -> None:
        """Leave the run open after its block, to be resumed with `agent.run(resume=run.id)`.

        Nothing is finished: the instance and its root span stay active. An exception of a type
        in the setting `control_flow` does the same. The last of `fail`, `cancel` and this counts.
        """
        self._run.leave_open()

    @contextmanager
    def use(self) -> Generator[Run]:
        """Make the run current in this block: in a thread, a callback, a sync dependency.

        Inside the block of another run the ceilings of both apply, and so does the termination of
        either.
        """
        with use_context(nested_in(self._run.context, current_context())):
            yield self

    # Unguarded: makes a plain object.
    def contained(self) -> Contained:
        """Return a block that ends quietly if this run is terminated; execution goes on after it.

        Use it in code that serves many runs in one task group, which an exception would end. The
        block catches the `RunTerminated` of this run, also inside an exception group. Other
        exceptions pass, and so do the rest of such a group and the terminations of other runs.

        ```python
        with agent.run() as run:
            with run.contained() as ended:
                answer = agent(question)
            if ended:
                answer = f"This session was ended: {ended.reason}"
        ```
        """
        return Contained(self.key)

    def __repr__(self) -> str:
        """Show the agent, the key and the status."""
        return f"<Run {self._run.feed.agent.external_identifier} {self.key} {self.status}>"


# Unguarded: reads an attribute.
def run_of(run: OpenRun) -> Run:
    """Return the public handle of a run, always the same object."""
    if run.handle is None:
        run.handle = Run(run)
    return cast("Run", run.handle)


def current_run() -> Run | None:
    """Return the current run, or `None` outside any."""
    context = current_context()
    return None if context is None else run_of(context.run)


@guarded("the start of a run", passes=(DeniedError, SettingsError, UsageError))
def opened(open_run: Callable[[], OpenRun]) -> OpenRun:
    """Return the run that *open_run* opens; None after a fault."""
    return open_run()


@cache
def null_run() -> OpenRun:
    """Return the run behind the handle of a run that could not be opened; it records nothing."""
    return OpenRun(
        Recorder(NoSink(), SystemClock(), _capture.Rules(_capture.Limits(), None)),
        AgentRef("", "", None, None, None, dict),
        RunOptions("live"),
        recording=False,
        ceilings=(),
    )


# Unguarded: called by the user's `with`.
class RunBlock:
    """The block of `with agent.run(...)`; sync and async, used once."""

    __slots__ = ("_entered", "_open", "_run")

    def __init__(self, open_run: Callable[[], OpenRun]) -> None:
        """Prepare the block; nothing happens before it is entered."""
        self._open: Callable[[], OpenRun] | None = open_run
        self._run: OpenRun | None = None
        self._entered: use_context | None = None

    def __enter__(self) -> Run:
        """Open the run and make it current."""
        if self._open is None:
            message = "a run's block was entered twice: call agent.run() again for another run"
            raise UsageError(message)
        open_run, self._open = self._open, None
        self._run = opened(open_run)
        # If the run could not be opened, the block must not record into the run around it.
        self._entered = use_context(None if self._run is None else self._run.context)
        self._entered.__enter__()
        return run_of(null_run() if self._run is None else self._run)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the run's block, and restore what was current before."""
        self._exit(error, awaited=False)

    async def __aenter__(self) -> Run:
        """Open the run and make it current."""
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the run's block, as the sync form does, without blocking the event loop."""
        awaited = not issubclass(type(error), GeneratorExit)
        run = self._exit(error, awaited=awaited)
        flushing = run.recorder.after_run.beside() if run is not None and awaited else None
        if flushing is not None:
            await flushing

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
