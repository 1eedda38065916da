"""The interface that every peer has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

Function: TypeAlias = Callable[..., Any]
Decorator: TypeAlias = Callable[[Function], Function]

FLUSH_S = 120.0
"""How long a peer may take to send what is left."""
RUN_TURNS = 10_000
"""How often a run's loop turns at most; then the next run begins."""
MANY_ITEMS = 2_000_000
"""More than is ever pending: a queue of this size drops nothing."""


@dataclass(frozen=True)
class Place:
    """Where a peer records to.

    Attributes:
        port: Of the sink, on loopback.
        folder: An empty one, for what a peer keeps on disk.
        roomy: Whether queues are made large enough for everything; else a peer's own defaults.
    """

    port: int
    folder: Path
    roomy: bool = True

    @property
    def url(self) -> str:
        """The sink's address."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def no_session() -> AsyncGenerator[None]:
    """Stand for the session of a peer that needs no event loop of its own."""
    yield


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A way to record, ready to be used in this process.

    Attributes:
        decorate: Returns a function that is recorded: a plain one, a coroutine's, a generator's.
        run: Opens what the spans of one run belong to.
        flush: Sends what is left, and returns when it was.
        session: Entered around everything that runs in an event loop.
        roots: Spans that a run sends for itself.
        run_turns: How often a run's loop turns at most, where a peer keeps only so much of a run.
    """

    decorate: Decorator
    run: Callable[[], AbstractContextManager[object]]
    flush: Callable[[], object]
    session: Callable[[], AbstractAsyncContextManager[object]] = no_session
    roots: int = 1
    run_turns: int = RUN_TURNS
