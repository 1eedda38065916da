"""The one global: what was declared in this process, and the runtime that records it."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from remit import _capture
from remit._clock import Clock
from remit._guard import faults, guarded, insist, logger
from remit._late import late
from remit._registry import AgentType, Registry
from remit._results import UNKNOWN, UNSEEN, FlushResult, Status
from remit._runtime._loops import beside
from remit._sink import Sink
from remit.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from remit import _spool as spool
    from remit import config
    from remit._runtime import _doors as doors
    from remit._runtime import _runtime as parts
else:
    spool = late("remit._spool")
    config = late("remit.config")
    doors = late("remit._runtime._doors")
    parts = late("remit._runtime._runtime")

# Below zero: after the child's own queues are flushed and its children joined.
LATE: Final = -100


class _Process(Struct):
    """The one global: what was declared, and the runtime that records it."""

    registry: Registry
    runtime: parts.Runtime | None = None
    ended: parts.Runtime | None = None
    exit_hooked: bool = False
    finalized_pid: int | None = None
    configured: config.Settings | None = None
    ignored: config.Inherited = frozenset()
    quiet: bool = False
    unrecorded: bool = False
    said: str = ""


_process: _Process = _Process(Registry())
_lock = threading.RLock()


def registry() -> Registry:
    """Return the registry that decorators fill."""
    return _process.registry


def registration(agent: AgentType) -> dict[str, object]:
    """Return the registration payload of *agent*, from what is declared now."""
    return parts.payload_of(agent, registry())


def current() -> parts.Runtime:
    """Return the runtime; the first use configures it from the environment.

    A wrong environment variable is said once and switches recording off: only `configure()`
    raises.
    """
    runtime = _process.runtime
    if runtime is not None:
        return runtime
    with _lock:
        settings = _process.configured or _settings_or_off()
        # A signal's handler may have been here meanwhile, in this very thread.
        return _process.runtime or _install(settings)


def stay_quiet() -> None:
    """Record nothing in this process until it is configured, whatever credentials it inherited.

    For test sessions: a token in the environment of a desk or of CI sends no test to production.
    What `configure()` is given counts, and so does a variable that is set later.
    """
    shared = [each for name in config.SHARED_WITH_PREFACTOR for each in config.variables(name)]
    _process.ignored = frozenset((each, os.environ[each]) for each in shared if each in os.environ)
    _process.quiet = True


@contextmanager
def unrecorded() -> Generator[None]:
    """Record nothing within this block, whatever a call of `configure()` in it asks for.

    For commands that import a program only to look at what it declares.
    """
    before = (_process.runtime, _process.configured, _process.unrecorded)
    _process.runtime, _process.configured, _process.unrecorded = None, None, True
    try:
        yield
    finally:
        _process.runtime, _process.configured, _process.unrecorded = before


def _settings_or_off() -> config.Settings:
    try:
        if _process.quiet and not config.given(_process.ignored):
            return config.Settings(mode="off")
        return _loaded({})
    except SettingsError as error:
        if str(error) != _process.said:
            _process.said = str(error)
            logger.warning("remit is off until this is mended: %s", error)
        return config.Settings(mode="off")


def _loaded(overrides: Mapping[str, object]) -> config.Settings:
    """Return the settings, looked at whole before anything is built from them.

    Raises:
        SettingsError: A name is unknown or a value is not allowed.
    """
    if _process.unrecorded:
        overrides = {**overrides, "mode": "off"}
    settings = config.load(overrides, _process.ignored)
    _capture.switched_off(settings.redact_off)
    doors.check_target(settings)
    return settings


def _install(settings: config.Settings) -> parts.Runtime:
    runtime = _process.runtime = parts.Runtime(settings, registry, on_start=_hook_exit)
    _process.ended = None
    return runtime


def _hook_exit() -> None:
    """See to the flush at exit; in children of others than the system, `atexit` may never run."""
    if not (_process.exit_hooked or threading.main_thread().is_alive()):
        # The interpreter ends, and its exit handlers are at work: no new one will be called.
        if _process.runtime is not None:
            _process.runtime.keep_late()
        return
    if not _process.exit_hooked:
        # In this order: a signal's handler that raises in between has it done once more.
        atexit.register(_at_exit)
        _process.exit_hooked = True
    if _process.finalized_pid == os.getpid():
        return
    # By what is loaded: importing multiprocessing costs 10 ms, and most programs have no use of it.
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        util.Finalize(None, _at_exit, exitpriority=LATE)
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        # The children of its pool end by `os._exit`, and this is all they do before.
        signals.worker_process_shutdown.connect(_at_exit, weak=False, dispatch_uid=__name__)
    _process.finalized_pid = os.getpid()


def configure(**settings: object) -> None:
    """Set up remit; optional, the first use configures from the environment.

    Args:
        **settings: The settings by name; see the table of settings in the docs. Each not given
            comes from `REMIT_<NAME>`, else its default.

    Raises:
        SettingsError: A name is unknown or a value is not allowed.
        UsageError: A run was opened already; `remit.shutdown()` first.
    """
    loaded = _loaded(settings)
    with _lock:
        before = _process.runtime
        if before is not None and before.started:
            message = (
                "configure() came after the first run was opened: call it before, "
                "or call remit.shutdown() first"
            )
            raise UsageError(message)
        _process.configured = loaded
        runtime = _install(loaded)
    if before is not None:
        before.hand_over()
    _adopt(runtime)


@guarded("looking for what ended processes left")
def _adopt(runtime: parts.Runtime) -> None:
    runtime.adopt()


def flush(timeout_s: float = 5.0) -> FlushResult:
    """Deliver everything recorded so far and tell what became of it.

    Args:
        timeout_s: Seconds to wait at most.

    Returns:
        Counts by fate; true only if all of it was delivered.
    """
    flushed = _flushed(timeout_s)
    return UNKNOWN if flushed is None else flushed


@guarded("a flush")
def _flushed(timeout_s: float) -> FlushResult:
    runtime = _process.runtime or _process.ended
    return runtime.flush(timeout_s) if runtime is not None else FlushResult.nothing()


async def aflush(timeout_s: float = 5.0) -> FlushResult:
    """Deliver everything recorded so far, as `flush` does, without blocking the event loop.

    Args:
        timeout_s: Seconds to wait at most.

    Returns:
        Counts by fate; true only if all of it was delivered.
    """
    return await beside(partial(flush, timeout_s))


def send_spooled(
    settings: config.Settings, timeout_s: float, others: spool.Others, *, set_aside: bool
) -> FlushResult:
    """Send what ended processes left in the spool, beside the runtime of this process.

    Args:
        settings: Where to, and where the spool is.
        timeout_s: Seconds to try at most.
        others: Whose files are sent beside our own.
        set_aside: Send also what a server refused before.
    """
    runtime = parts.Runtime(settings, registry, others=others)
    if set_aside:
        runtime.bring_back()
    runtime.flush(timeout_s)
    return runtime.shutdown(settings.exit_timeout_s)


def shutdown(timeout_s: float = 2.0) -> FlushResult:
    """Flush, then stop; the next run starts anew, with the settings that `configure()` was given.

    Args:
        timeout_s: Seconds to wait at most.
    """
    flushed = _shut_down(timeout_s)
    return UNKNOWN if flushed is None else flushed


@guarded("a shutdown")
def _shut_down(timeout_s: float) -> FlushResult:
    with _lock:
        runtime = _process.ended = _process.runtime or _process.ended
        _process.runtime = None
    return runtime.shutdown(timeout_s) if runtime is not None else FlushResult.nothing()


def status() -> Status:
    """Return mode, target, health, counters and the last error; after a shutdown, how it ended."""
    return _status() or replace(UNSEEN, faults=dict(faults.counts))


@guarded("the status")
def _status() -> Status:
    return (_process.runtime or _process.ended or current()).status()


@guarded("the exit of the process")
def _at_exit(**_: object) -> None:
    try:
        # Ctrl-C ends the wait for a server; the program has ended already.
        with suppress(KeyboardInterrupt):
            if _process.runtime is not None:
                # Twice: an alarm may come while another is judged.
                insist(partial(insist, _process.runtime.at_exit))
    finally:
        _end_as_begun()


def _end_as_begun() -> None:
    """Have a process that ends by Ctrl-C end as one, whatever was imported for the last flush.

    The interpreter then ends by the signal itself, as shells ask, unless a text was executed in
    between: and that is how dataclasses are made, httpx's too. Another unhandled Ctrl-C in such a
    text puts it right. Source: CPython, `run_eval_code_obj` in pythonrun.c, bpo-1054041.
    """
    interactive = hasattr(sys, "ps1") or sys.flags.interactive
    if getattr(sys, "last_type", None) is KeyboardInterrupt and not interactive:
        with suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102 - a text is the point


@contextmanager
def isolated(
    settings: config.Settings, *, sink: Sink | None = None, clock: Clock | None = None
) -> Generator[parts.Runtime]:
    """Give a test its own runtime and a copy of the registry; faults of ours raise.

    Args:
        settings: The settings of the runtime.
        sink: Where items go instead of to delivery.
        clock: The time.
    """
    was_registry, was_strict = registry(), faults.strict
    was_configured, _process.configured = _process.configured, None
    was_ended, _process.ended = _process.ended, None
    was_said, _process.said = _process.said, ""
    runtime = parts.Runtime(settings, registry, sink=sink, clock=clock)
    was_runtime = _swap(was_registry.copy(), runtime)
    faults.strict = True
    try:
        yield runtime
    finally:
        faults.strict = was_strict
        _process.configured = was_configured
        _process.ended = was_ended
        _process.said = was_said
        mine = _swap(was_registry, was_runtime)
        if mine is not None:
            mine.shutdown(settings.exit_timeout_s)


def _swap(declared: Registry, runtime: parts.Runtime | None) -> parts.Runtime | None:
    """Put other contents into the process; return the runtime that was there."""
    was, _process.runtime = _process.runtime, runtime
    _process.registry = declared
    return was


@guarded("a fork")
def _before_fork() -> None:
    if _process.runtime is not None:
        _process.runtime.before_fork()


@guarded("a fork")
def _after_fork_in_parent() -> None:
    if _process.runtime is not None:
        _process.runtime.after_fork_in_parent()


@guarded("the child of a fork")
def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - the inherited lock may be held by a thread that is gone
    _lock = threading.RLock()
    _process.registry.after_fork_in_child()
    _process.ended = None
    faults.counts.clear()
    if _process.runtime is not None:
        _process.runtime.after_fork_in_child()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
