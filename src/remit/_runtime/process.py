"""The state of this process, the public functions that act on it, and its fork and exit.

`state` is the only global: the registry that decorators fill, and the runtime.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pickle import PicklingError
from typing import TYPE_CHECKING, Final, Unpack

from msgspec import Struct, field
from msgspec.structs import replace

from remit._base import guard
from remit._base.clock import Clock
from remit._base.guard import guarded
from remit._base.locks import SignalSafeLock
from remit._base.loops import run_in_thread
from remit._base.system import at_fork
from remit._declare.limits import ceiling_of
from remit._declare.registration import registration as payload_of
from remit._declare.registry import AgentType, Registry
from remit._deliver.status import UNKNOWN, UNSEEN, FlushResult, Status
from remit._record.items import Sink
from remit._record.runs import OBSERVE

if TYPE_CHECKING:  # both take long to import, see `_set_up`
    from remit._runtime.runtime import Runtime
    from remit.config import IgnoredSources, Settings, SettingsArguments

# Negative: after multiprocessing has flushed the child's queues and joined its children.
EXIT_PRIORITY: Final = -100


class Forced(Struct, frozen=True):
    """Settings of a test or a command, which `configure()` in a program cannot change.

    Attributes:
        sink: Receives the items; None if nothing is recorded.
        settings: Settings of `isolated()`, by name; None reads the environment.
    """

    mode: str
    sink: Sink | None = None
    clock: Clock | None = None
    settings: Mapping[str, object] | None = None


class ProcessState(Struct):
    """The declarations, the runtime and its settings.

    Attributes:
        forced: Decided by a test or a command.
        ignored: Environment variables that do not count, in test sessions.
        hooked_pid: The process whose other exit hooks are registered.
    """

    registry: Registry
    runtime: Runtime | None = None
    ended: Runtime | None = None
    configured: Settings | None = None
    forced: Forced | None = None
    ignored: IgnoredSources = frozenset()
    logged: frozenset[str] = frozenset()
    exit_hooked: bool = False
    hooked_pid: int | None = None
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


# Public functions


def registry() -> Registry:
    return state.registry


def registration(agent: AgentType) -> dict[str, object]:
    """Return the registration payload of *agent*, from the current declarations."""
    return payload_of(agent, state.registry)


def current() -> Runtime:
    """Return the runtime; the first use configures it from the environment.

    A wrong environment variable is logged once and turns recording off; the policy still applies.
    Only `configure()` raises.
    """
    return state.runtime or _set_up()


def is_permissive() -> bool:
    """Return whether the policy lets every step run outside a run; works without a runtime.

    If the environment cannot be read, as in the sandbox of Temporal, it does not if an agent of the
    process has limits.
    """
    permissive = _is_permissive()
    return not _has_limits() if permissive is None else permissive


@guarded("reading the policy")
def _is_permissive() -> bool | None:
    settings = _settings()
    if settings is None:
        outside_run = os.environ.get("REMIT_OUTSIDE_RUN", "").strip().lower() or None
    else:
        outside_run = settings.outside_run
    return outside_run == "record" or (outside_run is None and _on_violation() == OBSERVE)


def _has_limits() -> bool:
    """Return whether an agent has any limits."""
    return any(ceiling_of(agent) for agent in state.registry.agents())


def _settings() -> Settings | None:
    """Return the settings as far as they are known without a runtime."""
    return state.configured if state.runtime is None else state.runtime.settings


def _on_violation() -> str:
    settings = _settings()
    if settings is None:
        return os.environ.get("REMIT_ON_VIOLATION", "").strip().lower() or OBSERVE
    return settings.on_violation


@guarded("reading the rules that are off", frozenset[str]())
def redact_off() -> frozenset[str]:
    """Return the rules of redaction that are off, as far as they are known without a runtime."""
    settings = _settings()
    if settings is not None:
        return frozenset(settings.redact_off)
    names = os.environ.get("REMIT_REDACT_OFF", "").split(",")
    return frozenset(name.strip() for name in names if name.strip())


def check_pickled_by_value(step: str) -> None:
    """Raise if the function of *step* is pickled by value; under `observe` log it once.

    Raises:
        PicklingError: The `on_violation` setting says to deny or to terminate.
    """
    line = (
        f"{step} is pickled by value, so it arrives without its decorator, unrecorded and "
        "not limited by any remit: define it in a module that the workers import"
    )
    if _on_violation() != OBSERVE:
        raise PicklingError(line)
    if line not in state.logged:
        state.logged |= {line}
        guard.logger.warning("remit: %s", line)


def configure(**settings: Unpack[SettingsArguments]) -> None:
    """Configure remit. Without this call, remit reads the environment when it is first used.

    A second call with the same settings has no effect, so a script can run several times in the
    same process.

    Args:
        **settings: Settings by name. If you omit a setting, remit uses the environment variable
            `REMIT_<NAME>` or the default.

    Raises:
        SettingsError: If a setting does not exist or its value is not allowed.
        UsageError: If a run was already opened with other settings. Call `remit.shutdown()` first.
    """
    _set_up(settings)


def _set_up(settings: Mapping[str, object] | None = None) -> Runtime:
    """Return a runtime made from *settings*; without them the first one, from the environment."""
    # The only import of our own inside a function: httpx, sqlite3 and pydantic-settings take longer
    # to import than everything else, and a program that only declares does not need them. They are
    # imported on the caller's thread, because background threads import nothing.
    from remit._runtime import setup  # noqa: PLC0415

    return setup.first() if settings is None else setup.configure(settings)


@guarded("a flush", UNKNOWN)
def flush(timeout_s: float = 5.0) -> FlushResult:
    """Deliver all items recorded so far.

    Args:
        timeout_s: Maximum number of seconds to wait.

    Returns:
        Counts of sent, waiting and lost items. The object is true only if all items were delivered.
    """
    runtime = state.runtime or state.ended
    return runtime.flush(timeout_s) if runtime is not None else FlushResult.nothing()


async def aflush(timeout_s: float = 5.0) -> FlushResult:
    """Deliver all items recorded so far, like `flush`, but without blocking the event loop.

    Args:
        timeout_s: Maximum number of seconds to wait.

    Returns:
        Counts of sent, waiting and lost items. The object is true only if all items were delivered.
    """
    return await run_in_thread(partial(flush, timeout_s))


@guarded("a shutdown", UNKNOWN)
def shutdown(timeout_s: float = 2.0) -> FlushResult:
    """Flush, then stop remit. The next run starts remit again, with the same settings.

    Args:
        timeout_s: Maximum number of seconds to wait.

    Returns:
        Counts of sent, waiting and lost items. The object is true only if all items were delivered.
    """
    with state.lock:
        runtime = state.ended = state.runtime or state.ended
        state.runtime = None
    return runtime.shutdown(timeout_s) if runtime is not None else FlushResult.nothing()


def status() -> Status:
    """Return the delivery status: mode, target, health, counters and the last error."""
    return _status() or replace(UNSEEN, faults=dict(guard.faults.counts))


@guarded("the status")
def _status() -> Status:
    return (state.runtime or state.ended or current()).status()


# Exit


def hook_exit() -> None:
    """Register the flush at exit, also where a child process never runs `atexit`."""
    main = threading.main_thread()
    if not (state.exit_hooked or main.is_alive()) and threading.current_thread() is main:
        # The interpreter already runs its exit handlers and will not call a new one. Before, it
        # waits for the other threads.
        if state.runtime is not None:
            state.runtime.shutdown(0)
        return
    if not state.exit_hooked:
        # In this order: if a signal handler raises in between, the handler is registered again.
        atexit.register(_at_exit)
        state.exit_hooked = True
    if state.hooked_pid == os.getpid():
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
    state.hooked_pid = os.getpid()


@guarded("the exit of the process")
def _at_exit(**_: object) -> None:
    # Ctrl-C only ends the wait for the server.
    with suppress(KeyboardInterrupt):
        if state.runtime is not None:
            state.runtime.at_exit()


# Fork


@guarded("a fork")
def _before_fork() -> None:
    if state.runtime is not None and state.runtime.delivery is not None:
        state.runtime.delivery.before_fork()


@guarded("a fork")
def _after_fork_in_parent() -> None:
    if state.runtime is not None and state.runtime.delivery is not None:
        state.runtime.delivery.after_fork_in_parent()


@guarded("the child of a fork")
def _after_fork_in_child() -> None:
    # A thread of the parent may hold the inherited lock.
    state.lock = SignalSafeLock()
    state.registry.after_fork_in_child()
    state.ended = None
    guard.faults.counts.clear()
    if state.runtime is not None:
        state.runtime.after_fork_in_child()


at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
