"""The only global: the registry and the runtime of this process, with hooks for fork and exit."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from remit._base import guard
from remit._base.clock import Clock
from remit._base.guard import guarded
from remit._base.locks import SignalSafeLock
from remit._declare.registry import Registry
from remit._record.items import Sink

if TYPE_CHECKING:  # both take long to import, see `remit._runtime.process`
    from remit._runtime.runtime import Runtime
    from remit.config import IgnoredSources, Settings

# Negative: after multiprocessing has flushed the child's queues and joined its children.
EXIT_PRIORITY: Final = -100


class InTests(Struct, frozen=True):
    """Decided by a test; `configure()` in the code under test cannot change it.

    Attributes:
        mode: The mode.
        sink: Receives the items; None if nothing is recorded.
        clock: The time.
        settings: Settings of `isolated()`, by name; None reads the environment.
    """

    mode: str
    sink: Sink | None = None
    clock: Clock | None = None
    settings: Mapping[str, object] | None = None


@dataclass
class ProcessState:
    """The registry, the runtime, and the settings of `configure()`.

    Attributes:
        registry: Holds all declarations.
        runtime: The current runtime, if there is one.
        ended: The runtime that was shut down last.
        exit_hooked: Whether the exit handler is registered.
        finalized_pid: Id of the process whose other exit hooks are registered.
        configured: Settings of the last `configure()`.
        ignored: Environment variables that do not count, in test sessions.
        in_tests: Decided by a test.
        unrecorded: Whether mode `off` is forced.
        logged: Lines that were logged once.
        lock: Held while the runtime is replaced.
    """

    registry: Registry
    runtime: Runtime | None = None
    ended: Runtime | None = None
    exit_hooked: bool = False
    finalized_pid: int | None = None
    configured: Settings | None = None
    ignored: IgnoredSources = frozenset()
    in_tests: InTests | None = None
    unrecorded: bool = False
    logged: frozenset[str] = frozenset()
    lock: SignalSafeLock = field(default_factory=SignalSafeLock)


state: Final = ProcessState(Registry())


@contextmanager
def restored(*names: str) -> Generator[None]:
    """Restore these attributes of the state after the block."""
    before = {name: getattr(state, name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(state, name, value)


def registry() -> Registry:
    """Return the registry that decorators fill."""
    return state.registry


def hook_exit() -> None:
    """Register the flush at exit, also where a child process never runs `atexit`."""
    if not (state.exit_hooked or threading.main_thread().is_alive()):
        # The interpreter already runs its exit handlers and will not call a new one.
        if state.runtime is not None:
            state.runtime.shutdown(0)
        return
    if not state.exit_hooked:
        # In this order: if a signal handler raises in between, the handler is registered again.
        atexit.register(_at_exit)
        state.exit_hooked = True
    if state.finalized_pid == os.getpid():
        return
    # Only if imported: importing multiprocessing takes 10 ms, and most programs do not need it.
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        util.Finalize(None, _at_exit, exitpriority=EXIT_PRIORITY)
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        # The children of Celery's pool end by `os._exit`, but send this signal before.
        signals.worker_process_shutdown.connect(_at_exit, weak=False, dispatch_uid=__name__)
    state.finalized_pid = os.getpid()


@guarded("the exit of the process")
def _at_exit(**_: object) -> None:
    # Ctrl-C only ends the wait for the server.
    with suppress(KeyboardInterrupt):
        if state.runtime is not None:
            state.runtime.at_exit()


@guarded("a fork")
def _before_fork() -> None:
    if state.runtime is not None:
        state.runtime.before_fork()


@guarded("a fork")
def _after_fork_in_parent() -> None:
    if state.runtime is not None:
        state.runtime.after_fork_in_parent()


@guarded("the child of a fork")
def _after_fork_in_child() -> None:
    # A thread of the parent may hold the inherited lock.
    state.lock = SignalSafeLock()
    state.registry.after_fork_in_child()
    state.ended = None
    guard.faults.counts.clear()
    if state.runtime is not None:
        state.runtime.after_fork_in_child()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
