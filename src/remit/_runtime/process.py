"""The public `configure`, `flush`, `shutdown` and `status`, and the runtime that they act on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from remit._base import guard
from remit._base.guard import guarded
from remit._base.loops import run_in_thread
from remit._declare.registration import registration as payload_of
from remit._declare.registry import AgentType
from remit._deliver.status import UNKNOWN, UNSEEN, FlushResult, Status
from remit._runtime.state import registry, state

if TYPE_CHECKING:
    from remit._runtime.runtime import Runtime


def current() -> Runtime:
    """Return the runtime; the first use configures it from the environment.

    A wrong environment variable is logged once and turns recording off; the policy still applies.
    Only `configure()` raises.
    """
    return state.runtime or _set_up()


def configure(**settings: object) -> None:
    """Configure remit. Optional: without it, the first use reads the environment.

    Args:
        **settings: Settings by name; see the table of settings in the docs. A setting that is
            not given comes from `REMIT_<NAME>`, else it has its default.

    Raises:
        SettingsError: A name is unknown or a value is not allowed.
        UsageError: A run was opened already; `remit.shutdown()` first.
    """
    _set_up(settings)


def _set_up(settings: Mapping[str, object] | None = None) -> Runtime:
    """Return a runtime made from *settings*; without them the first one, from the environment."""
    # The only import inside a function: httpx, sqlite3 and pydantic-settings take longer to import
    # than everything else, and a program that only declares does not need them. They are imported
    # on the caller's thread, because background threads import nothing.
    from remit._runtime import setup  # noqa: PLC0415

    return setup.first() if settings is None else setup.configure(settings)


def registration(agent: AgentType) -> dict[str, object]:
    """Return the registration payload of *agent*, from the current declarations."""
    return payload_of(agent, registry())


@guarded("a flush", UNKNOWN)
def flush(timeout_s: float = 5.0) -> FlushResult:
    """Deliver everything recorded so far.

    Args:
        timeout_s: Seconds to wait at most.

    Returns:
        Counts of sent, waiting and lost items; true only if everything was delivered.
    """
    runtime = state.runtime or state.ended
    return runtime.flush(timeout_s) if runtime is not None else FlushResult.nothing()


async def aflush(timeout_s: float = 5.0) -> FlushResult:
    """Deliver everything recorded so far, as `flush` does, without blocking the event loop.

    Args:
        timeout_s: Seconds to wait at most.

    Returns:
        Counts of sent, waiting and lost items; true only if everything was delivered.
    """
    return await run_in_thread(partial(flush, timeout_s))


@guarded("a shutdown", UNKNOWN)
def shutdown(timeout_s: float = 2.0) -> FlushResult:
    """Flush, then stop. The next run starts remit again, with the settings of `configure()`.

    Args:
        timeout_s: Seconds to wait at most.
    """
    with state.lock:
        runtime = state.ended = state.runtime or state.ended
        state.runtime = None
    return runtime.shutdown(timeout_s) if runtime is not None else FlushResult.nothing()


def status() -> Status:
    """Return mode, target, health, counters and the last error; after a shutdown, how it ended."""
    return _status() or replace(UNSEEN, faults=dict(guard.faults.counts))


@guarded("the status")
def _status() -> Status:
    return (state.runtime or state.ended or current()).status()
