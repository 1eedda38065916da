"""The peers, each behind the same small interface; `PEERS` names them in the order of the tables.

A module of a peer is imported only in a process that measures it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

Function: TypeAlias = Callable[..., Any]
Decorator: TypeAlias = Callable[[Function], Function]

FLUSH_S: Final = 120.0
"""How long a peer may take to send what is left."""
MANY_ITEMS: Final = 2_000_000
"""The length of a queue that never fills here."""
FEW: Final = 2_000
"""Calls in one value of a slow peer, which no budget names."""


@dataclass(frozen=True)
class Place:
    """Where a peer records to.

    Attributes:
        port: The sink's port, on loopback.
        folder: An empty directory for the files of a peer.
        roomy: Whether queues are made large enough for everything; else a peer's defaults hold.
    """

    port: int
    folder: Path
    roomy: bool = False

    @property
    def url(self) -> str:
        """The sink's address."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A way to record, ready to be used in this process.

    Attributes:
        decorate: Returns a function that is recorded.
        run: Opens the context that the spans of one run belong to.
        flush: Sends what is left, and returns when it was sent.
        session: Entered around everything, where a peer has to connect first.
        roots: Spans that a run sends for itself.
        run_turns: Turns of a workload in one run at most.
        short_run: The context of one of many short runs, where that is another one.
        session_in_loop: As `session`, in a running event loop, where that is another one.
        run_in_loop: As `short_run`, in a running event loop, where that is another one.
    """

    decorate: Decorator
    run: Callable[[], AbstractContextManager[object]]
    flush: Callable[[], object]
    session: Callable[[], AbstractContextManager[object]] = nullcontext
    roots: int = 1
    run_turns: int = 10_000
    short_run: Callable[[], AbstractContextManager[object]] | None = None
    session_in_loop: Callable[[], AbstractAsyncContextManager[object]] | None = None
    run_in_loop: Callable[[], AbstractAsyncContextManager[object]] | None = None


@dataclass(frozen=True)
class Known:
    """A peer that can be measured.

    Attributes:
        title: Its name in the tables.
        program: The imports of a program that uses it, and one decorated function.
        in_loop_only: Whether it records coroutine functions only.
        calls: Calls in one value of pyperf.
    """

    title: str
    program: str = ""
    in_loop_only: bool = False
    calls: int = 20_000


PEERS: Final = {
    "bare": Known("bare"),
    "floor": Known("floor"),
    "remit": Known("remit", "import remit\nf = remit.span_type(f)"),
    "ddtrace": Known("ddtrace", "from ddtrace.trace import tracer\nf = tracer.wrap()(f)"),
    "sentry": Known("Sentry", "import sentry_sdk\nf = sentry_sdk.trace(f)", calls=FEW),
    "opentelemetry": Known(
        "OpenTelemetry",
        "from opentelemetry import trace\n"
        "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import BatchSpanProcessor",
    ),
    "logfire": Known("Logfire", "import logfire\nf = logfire.instrument()(f)", calls=FEW),
    "langfuse": Known("Langfuse", "from langfuse import observe\nf = observe()(f)", calls=FEW),
    "prefactor-core": Known(
        "prefactor-core", "import prefactor_core", in_loop_only=True, calls=FEW
    ),
}
OFTEN: Final = ("bare", "floor", "remit", "ddtrace", "opentelemetry")
"""The peers that budgets name, and the lower bounds; the others are measured in one round only."""


def start(name: str, place: Place) -> Peer:
    """Return a peer by name, started in this process."""
    module = import_module(f"benchmarks.peers.{name.replace('-', '_')}")
    peer: Peer = module.start(place)
    return peer
