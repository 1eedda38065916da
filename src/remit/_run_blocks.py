"""The block of `with agent.run(...)`: it opens a run, makes it current, and ends it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import TracebackType

from remit import _capture
from remit._clock import SystemClock
from remit._guard import guarded
from remit._recording import Recorder, at
from remit._runs import OpenRun, Run, RunOptions, run_of
from remit._sink import AgentRef, NoSink
from remit.errors import DeniedError, SettingsError, UsageError


@guarded("the start of a run", passes=(DeniedError, SettingsError, UsageError))
def opened(open_run: Callable[[], OpenRun]) -> OpenRun:
    """Return the run that *open_run* opens; None after a fault of ours."""
    return open_run()


@cache
def unopened() -> OpenRun:
    """Return what stands behind the handle on a run that a fault of ours kept from opening.

    It records nothing.
    """
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

    __slots__ = ("_awaited", "_entered", "_open", "_run")

    def __init__(self, open_run: Callable[[], OpenRun]) -> None:
        """Prepare the block; nothing happens before it is entered."""
        self._open: Callable[[], OpenRun] | None = open_run
        self._run: OpenRun | None = None
        self._entered: at | None = None
        self._awaited = False

    def __enter__(self) -> Run:
        """Open the run and make it current."""
        if self._open is None:
            message = "a run's block was entered twice: call agent.run() again for another run"
            raise UsageError(message)
        open_run, self._open = self._open, None
        try:
            self._run = opened(open_run)
            # Without a run of its own the block is outside any, lest it records into another's.
            self._entered = at(None if self._run is None else self._run.place)
            self._entered.__enter__()
            return run_of(self._run) or Run(unopened())
        except BaseException as error:
            # Of a signal's handler, too: a block that is not entered is not left either.
            self.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the run's block; what was current before is current again."""
        run, self._run = self._run, None
        entered, self._entered = self._entered, None
        try:
            if entered is not None:
                entered.__exit__()
        finally:
            if run is not None:
                run.exit(error, awaited=self._awaited)

    async def __aenter__(self) -> Run:
        """Open the run and make it current."""
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the run's block, as the sync form does, without holding the event loop."""
        run = self._run
        self._awaited = run is not None and not issubclass(type(error), GeneratorExit)
        self.__exit__(exc_type, error, traceback)
        flushing = run.recorder.after_run.beside() if run is not None and self._awaited else None
        if flushing is not None:
            await flushing
