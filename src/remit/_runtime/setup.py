"""Makes the runtime from the settings. Importing this module imports httpx and sqlite3."""

from __future__ import annotations

import atexit

# For the hint at a misspelt mark, which the writer's thread may be the first to give: background
# threads import nothing.
import difflib  # noqa: F401 # pyright: ignore[reportUnusedImport]
import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from remit import config
from remit._base.clock import Clock
from remit._base.guard import Faults, counting, guarded, logger
from remit._capture.rules.patterns import compile_all
from remit._capture.rules.switches import switched_off
from remit._declare.registration import prepare
from remit._deliver.spool.folder import OtherFiles
from remit._deliver.status import FlushResult
from remit._record.items import Sink
from remit._record.runs import current_context, set_context
from remit._runtime.process import Forced, hook_exit, restored, state
from remit._runtime.runtime import Runtime
from remit._runtime.targets import check_target
from remit.config import Settings
from remit.errors import SettingsError, UsageError

# Settings that decide where items are sent.
_TARGET: Final = frozenset({
    "mode", "transport", "span_processor", "api_url", "api_token", "data_dir",
})  # fmt: skip


def first() -> Runtime:
    """Return the runtime, made from the last `configure()` or else from the environment."""
    # Without the lock: it imports modules of the program, which another thread may be importing.
    settings = state.configured or _from_environment()
    with state.lock:
        return state.runtime or _install(state.configured or settings)


def _from_environment() -> Settings:
    settings, problems = _read({})
    if problems:
        _log_once(
            "recording is off until this is corrected; the policy still applies (on_violation is "
            f"{settings.on_violation}): {'; '.join(problems)}"
        )
    return settings


def configure(overrides: Mapping[str, object]) -> Runtime:
    """Return a runtime made from *overrides*, as `remit.configure` documents.

    The current runtime stays if its settings are the same.

    Raises:
        SettingsError: A name is unknown or a value is not allowed.
        UsageError: A run was opened already, with other settings.
    """
    settings, problems = _read(overrides)
    with state.lock:
        before = state.runtime
        started = before is not None and before.started
        if problems:
            if state.configured is None and not started:
                # For a program that catches the error: recording is off, and the policy applies.
                state.configured, state.runtime = settings, None
            raise SettingsError("\n".join(problems))
        changed = [] if before is None else _differences(before.settings, settings)
        if started and changed:
            message = (
                "configure() came after the first run was opened and changes "
                f"{', '.join(changed)}: call it before, or call remit.shutdown() first"
            )
            raise UsageError(message)
        state.configured = settings
        runtime = _install(settings) if before is None or changed else before
    if before is not None and runtime is not before:
        before.shutdown(0)
    if runtime.mode != "off":
        prepare(state.registry)
        compile_all()
    _adopt(runtime)
    return runtime


def _differences(one: Settings, other: Settings) -> list[str]:
    return [name for name in Settings.model_fields if getattr(one, name) != getattr(other, name)]


@guarded("looking for what ended processes left")
def _adopt(runtime: Runtime) -> None:
    if runtime.delivery is not None:
        runtime.delivery.adopt()


def _read(overrides: Mapping[str, object]) -> tuple[Settings, list[str]]:
    """Return the settings and a sentence for each wrong one, which turns recording off.

    A wrong setting does not affect the others, so the policy still holds.
    """
    forced = state.forced
    if forced is None or overrides.get("transport") is not None:
        if forced is not None:
            overrides = {"data_dir": _folder_of_tests(), **overrides}
        settings, problems = config.read(overrides, config.environment_sources(state.ignored))
        problems = problems or config.missing(settings)
    else:
        environment = config.environment_sources(state.ignored) if forced.settings is None else {}
        settings, problems = config.read({**(forced.settings or {}), **overrides}, environment)
        settings = settings.model_copy(update={"mode": forced.mode, "transport": None})
    try:
        switched_off(settings.redact_off)
    except SettingsError as error:
        problems.append(str(error))
        settings = settings.model_copy(update={"redact_off": ()})
    try:
        check_target(settings)
    except SettingsError as error:
        problems.append(str(error))
        settings = settings.model_copy(update={"span_processor": None})
    return (settings.model_copy(update={"mode": "off"}) if problems else settings), problems


def _install(settings: Settings) -> Runtime:
    forced = state.forced
    if forced is None or settings.transport is not None:
        runtime = Runtime(settings, on_start=hook_exit)
    else:
        runtime = Runtime(settings, sink=forced.sink, clock=forced.clock)
    state.runtime = runtime
    state.ended = None
    if forced is None:
        _log_doubtful(settings)
    return runtime


@guarded("a look at the settings")
def _log_doubtful(settings: Settings) -> None:
    """Log settings that are valid but probably wrong: plain HTTP, unknown variables."""
    if settings.resolved_mode == "remote" and settings.unencrypted_host is not None:
        _log_once(
            "api_url is http://, so the token and everything recorded go to "
            f"{settings.unencrypted_host} unencrypted; use https://"
        )
    used = {variable for variable, _ in config.environment_sources().values()}
    for variable, meant in config.unknown_variables().items():
        hint = f" (did you mean {meant}?)" if meant else ""
        if variable in used:
            hint = f"; it counts as {meant}, because a typo must not switch the policy off"
        _log_once(f"{variable} is set, but remit has no such setting{hint}; unset or correct it")


def _log_once(line: str) -> None:
    if line not in state.logged:
        state.logged |= {line}
        logger.warning("remit: %s", line)


# For commands


@contextmanager
def unrecorded() -> Generator[None]:
    """Record nothing in this block, even if `configure()` is called in it.

    For commands that import a program to read its declarations.
    """
    with restored("runtime", "configured", "forced"):
        state.runtime, state.configured, state.forced = None, None, Forced("off")
        yield


def send_spooled(
    settings: Settings, timeout_s: float, others: OtherFiles, *, set_aside: bool
) -> FlushResult:
    """Send the items that ended processes left in the spool, with a separate runtime.

    Args:
        settings: The server and the folder of the spool.
        set_aside: Also send the items that a server rejected.
    """
    runtime = Runtime(settings, others=others)
    if set_aside and runtime.delivery is not None:
        runtime.delivery.bring_back()
    runtime.flush(timeout_s)
    return runtime.shutdown(settings.exit_timeout_s)


# For tests


@contextmanager
def isolated(
    settings: Settings, *, sink: Sink | None = None, clock: Clock | None = None
) -> Generator[Runtime]:
    """Give a test a new runtime and a copy of the registry; faults inside remit raise.

    A run around the block is not current in it. What an integration declares while it is imported
    stays after the block.

    Args:
        sink: Receives the items instead of delivery, even after `configure()`; without one the
            block behaves like a separate program.
    """
    with restored("registry", "runtime", "ended", "configured", "forced", "logged"):
        outer = current_context()
        set_context(None)
        state.registry = state.registry.copy(state.registry)
        state.runtime = Runtime(settings, sink=sink, clock=clock)
        state.ended, state.configured, state.forced, state.logged = None, None, None, frozenset()
        if sink is not None:
            state.configured = settings.model_copy(update={"transport": None})
            names = settings.model_fields_set - {"transport"}
            values = {name: getattr(settings, name) for name in names}
            state.forced = Forced(settings.resolved_mode, sink, clock, values)
        try:
            with counting(Faults(strict=True)):
                yield state.runtime
        finally:
            set_context(outer)
            _shut_down(settings.exit_timeout_s)


def _shut_down(timeout_s: float) -> None:
    # After `configure()` or `shutdown()` in the block it is another runtime, or none.
    if state.runtime is not None:
        state.runtime.shutdown(timeout_s)


def stay_quiet() -> None:
    """Record only into the sinks of tests in this process, whatever `configure()` says.

    For test sessions: the code under test, or a token in the environment, never sends test runs to
    production and never writes them to the data folder. Only `configure(transport=...)` delivers,
    through that transport.
    """
    variables = [each for name in config.SHARED_WITH_PREFACTOR for each in config.variables(name)]
    state.ignored = frozenset((name, os.environ[name]) for name in variables if name in os.environ)
    state.forced = Forced("off")


def configured() -> dict[str, object]:
    """Return the settings of the last `configure()` by name, except the target and the mode."""
    settings = state.configured
    if settings is None:
        return {}
    return {name: getattr(settings, name) for name in settings.model_fields_set - _TARGET}


@cache
def _folder_of_tests() -> Path:
    """Return a temporary data folder for tests that deliver; it is removed at exit."""
    folder = Path(tempfile.mkdtemp(prefix="remit-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
