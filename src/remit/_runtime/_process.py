"""The one global: what was declared in this process, and the runtime that records it."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from remit import _capture, _guard
from remit._clock import Clock
from remit._guard import Faults, counting, guarded, logger
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
# Settings that decide where items go.
_TARGET: Final = frozenset({"mode", "transport", "api_url", "api_token", "data_dir"})


class _InTests(Struct, frozen=True):
    """What a test decides, and `configure()` in the code under test cannot change.

    Attributes:
        mode: The mode.
        sink: Receives the items; None if nothing is recorded.
        clock: The time.
        settings: Settings given to `isolated()`, by name; None if the environment counts.
    """

    mode: str
    sink: Sink | None = None
    clock: Clock | None = None
    settings: Mapping[str, object] | None = None


class _Process(Struct):
    """The one global: what was declared, and the runtime that records it."""

    registry: Registry
    runtime: parts.Runtime | None = None
    ended: parts.Runtime | None = None
    exit_hooked: bool = False
    finalized_pid: int | None = None
    configured: config.Settings | None = None
    ignored: config.Inherited = frozenset()
    in_tests: _InTests | None = None
    unrecorded: bool = False
    said: frozenset[str] = frozenset()


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

    A wrong environment variable is logged once and switches recording off. The policy still
    applies. Only `configure()` raises.
    """
    runtime = _process.runtime
    if runtime is not None:
        return runtime
    with _lock:
        settings = _process.configured or _from_environment()
        # A signal's handler may have been here meanwhile, in this very thread.
        return _process.runtime or _install(settings)


def stay_quiet() -> None:
    """Record only into the sinks of tests in this process, whatever it is configured with.

    For test sessions: neither the code under test nor a token in the environment of a developer or
    of CI sends test runs to production, or writes them to the data folder. Only
    `configure(transport=...)` delivers, through that transport.
    """
    shared = [each for name in config.SHARED_WITH_PREFACTOR for each in config.variables(name)]
    _process.ignored = frozenset((each, os.environ[each]) for each in shared if each in os.environ)
    _process.in_tests = _InTests("off")


def configured() -> dict[str, object]:
    """Return the settings of the last `configure()`, by name, without its target and mode."""
    settings = _process.configured
    if settings is None:
        return {}
    given = settings.model_fields_set - _TARGET
    return {name: getattr(settings, name) for name in given}


@contextmanager
def unrecorded() -> Generator[None]:
    """Record nothing within this block, whatever `configure()` is called with in it.

    For commands that import a program to read its declarations.
    """
    before = (_process.runtime, _process.configured, _process.unrecorded)
    _process.runtime, _process.configured, _process.unrecorded = None, None, True
    try:
        yield
    finally:
        _process.runtime, _process.configured, _process.unrecorded = before


def _from_environment() -> config.Settings:
    settings, wrong = _read({})
    if wrong:
        _log_once(
            "recording is off until this is corrected; the policy still applies (on_violation is "
            f"{settings.on_violation}): {'; '.join(wrong)}"
        )
    return settings


def _read(overrides: Mapping[str, object]) -> tuple[config.Settings, list[str]]:
    """Return the settings and one sentence for each wrong one; any wrong one turns recording off.

    The settings are read one by one, so that the policy does not depend on those of recording.
    """
    if _process.unrecorded:
        overrides = {**overrides, "mode": "off"}
    tests = _process.in_tests
    if tests is None or overrides.get("transport") is not None:
        if tests is not None:
            overrides = {"data_dir": _folder_of_tests(), **overrides}
        settings, wrong = config.read(overrides, config.given(_process.ignored))
        wrong = wrong or config.missing(settings)
    else:
        environment = config.given(_process.ignored) if tests.settings is None else {}
        settings, wrong = config.read({**(tests.settings or {}), **overrides}, environment)
        settings = settings.model_copy(update={"mode": tests.mode, "transport": None})
    try:
        _capture.switched_off(settings.redact_off)
    except SettingsError as error:
        wrong.append(str(error))
        settings = settings.model_copy(update={"redact_off": ()})
    try:
        doors.check_target(settings)
    except SettingsError as error:
        wrong.append(str(error))
    return (settings.model_copy(update={"mode": "off"}) if wrong else settings), wrong


@cache
def _folder_of_tests() -> Path:
    """Return a temporary data folder for tests that deliver; it is removed at exit."""
    import shutil  # noqa: PLC0415 - only tests need it
    import tempfile  # noqa: PLC0415 - takes 5 ms, and only tests need it

    folder = Path(tempfile.mkdtemp(prefix="remit-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _install(settings: config.Settings) -> parts.Runtime:
    tests = _process.in_tests
    if tests is None or settings.transport is not None:
        runtime = parts.Runtime(settings, registry, on_start=_hook_exit)
    else:
        runtime = parts.Runtime(settings, registry, sink=tests.sink, clock=tests.clock)
    _process.runtime = runtime
    _process.ended = None
    if tests is None:
        _log_doubtful(settings)
    return runtime


@guarded("a look at the settings")
def _log_doubtful(settings: config.Settings) -> None:
    """Log settings that are allowed but probably wrong: plain HTTP, unknown variables."""
    if settings.resolved_mode == "remote" and settings.unencrypted_host is not None:
        _log_once(
            "api_url is http://, so the token and everything recorded go to "
            f"{settings.unencrypted_host} unencrypted; use https://"
        )
    for variable, setting in config.unknown_variables().items():
        hint = f" (did you mean {setting}?)" if setting else ""
        _log_once(f"{variable} is set, but remit has no such setting{hint}; unset or correct it")


def _log_once(line: str) -> None:
    """Log a line once in this process."""
    if line not in _process.said:
        _process.said |= {line}
        logger.warning("remit: %s", line)


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
    loaded, wrong = _read(settings)
    if wrong:
        _hold_policy(loaded)
        raise SettingsError("\n".join(wrong))
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


@guarded("the policy")
def _hold_policy(settings: config.Settings) -> None:
    """Apply the policy of a `configure()` that failed, for a program that catches the error."""
    with _lock:
        if _process.configured is None and (
            _process.runtime is None or not _process.runtime.started
        ):
            _process.configured = settings
            _process.runtime = None


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
        others: Which other spool files are sent too.
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
    return _status() or replace(UNSEEN, faults=dict(_guard.faults.counts))


@guarded("the status")
def _status() -> Status:
    return (_process.runtime or _process.ended or current()).status()


@guarded("the exit of the process")
def _at_exit(**_: object) -> None:
    try:
        # Ctrl-C ends the wait for a server; the program has ended already.
        with suppress(KeyboardInterrupt):
            if _process.runtime is not None:
                _process.runtime.at_exit()
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
        sink: Receives the items instead of delivery, whatever `configure()` is given; without one
            the block behaves as a program of its own.
        clock: The time.
    """
    was_registry = registry()
    was_configured, was_tests = _process.configured, _process.in_tests
    was_ended, _process.ended = _process.ended, None
    was_said, _process.said = _process.said, frozenset()
    if sink is None:
        _process.configured, _process.in_tests = None, None
    else:
        given = settings.model_fields_set - {"transport"}
        own = {name: getattr(settings, name) for name in given}
        _process.configured = settings.model_copy(update={"transport": None})
        _process.in_tests = _InTests(settings.resolved_mode, sink, clock, own)
    runtime = parts.Runtime(settings, registry, sink=sink, clock=clock)
    was_runtime = _swap(was_registry.copy(), runtime)
    try:
        with counting(Faults(strict=True)):
            yield runtime
    finally:
        _process.configured, _process.in_tests = was_configured, was_tests
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
    _guard.faults.counts.clear()
    if _process.runtime is not None:
        _process.runtime.after_fork_in_child()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
