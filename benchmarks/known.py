"""The peers by name: where each is started, which package it is, and how it differs from remit."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import cast

from benchmarks.peers.base import Peer, Place


@dataclass(frozen=True)
class Known:
    """A peer that can be measured.

    Attributes:
        title: How the tables call it.
        place: The module and the function that start it.
        package: The distribution that has to be installed, if there is one.
        imports: What a program that uses it imports, and does once, at its start.
        records: Which values it records.
        bounds: What it does when more comes than it can send.
        sends: How it sends.
    """

    title: str
    place: str
    package: str | None = None
    imports: str = ""
    records: str = ""
    bounds: str = ""
    sends: str = ""

    def missing(self) -> str | None:
        """Return why it cannot be measured here, if it cannot."""
        if self.package is None:
            return None
        try:
            metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return f"{self.package} is not installed"
        return None

    def start(self, place: Place) -> Peer:
        """Return it, started in this process."""
        module, function = self.place.split(":")
        return cast("Peer", getattr(import_module(f"benchmarks.peers.{module}"), function)(place))


DECORATED = "\ndef f(a: str, b: int) -> dict:\n    return {}\n"

BY_HAND = "arguments and result as JSON text, unredacted; a decorator of 12 lines, by hand"
OTLP = "protobuf over HTTP, 512 spans a request, when 512 wait or every"
OTEL_BOUNDS = "drops what comes when 2,048 spans wait, and says so in a log line"

PEERS: dict[str, Known] = {
    "bare": Known("bare", "bare:start", records="nothing", bounds="", sends="nothing"),
    "floor": Known(
        "floor",
        "floor:start",
        records="arguments by name and result, neither redacted nor bounded",
        bounds="grows without bound; all is lost with the process",
        sends="JSON over HTTP, 500 spans a request, at once",
    ),
    "remit": Known(
        "remit",
        "recorded:start",
        "remit",
        "import remit\nf = remit.span_type(f)\nremit.risk(allows=['read_data'])",
        "arguments by name with their defaults, and result; redacted, at most 64 KiB each",
        "keeps 64 MiB in memory and 1 GiB on disk, and counts what it gives up; what is on disk "
        "is sent by the next process",
        "JSON over HTTP, 500 spans or 1 MiB a request, every second",
    ),
    "opentelemetry": Known(
        "OpenTelemetry",
        "opentelemetry:start",
        "opentelemetry-exporter-otlp-proto-http",
        "from opentelemetry import trace\n"
        "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import BatchSpanProcessor",
        BY_HAND,
        OTEL_BOUNDS,
        f"{OTLP} 5 s",
    ),
    "ddtrace": Known(
        "ddtrace",
        "datadog:start",
        "ddtrace",
        "from ddtrace.trace import tracer\nf = tracer.wrap()(f)",
        f"{BY_HAND}; what is longer than 25,000 characters is cut to 2,500",
        "drops traces when 20 MiB wait",
        "msgpack over HTTP to the agent, every second",
    ),
    "ddtrace-own": Known(
        "ddtrace, no values",
        "datadog:start_own",
        "ddtrace",
        records="names and times alone (`tracer.wrap`)",
        bounds="as above",
        sends="as above",
    ),
    "sentry": Known(
        "Sentry",
        "sentry:start",
        "sentry-sdk",
        "import sentry_sdk\nf = sentry_sdk.trace(f)",
        BY_HAND,
        "keeps the first 1,000 spans of a transaction and 100 transactions, drops the rest",
        "a gzipped envelope of JSON for each run, when it has ended",
    ),
    "sentry-own": Known(
        "Sentry, no values",
        "sentry:start_own",
        "sentry-sdk",
        records="names and times alone (`sentry_sdk.trace`)",
        bounds="as above",
        sends="as above",
    ),
    "langfuse": Known(
        "Langfuse",
        "observed:start",
        "langfuse",
        "from langfuse import observe\nf = observe()(f)",
        "arguments and result as JSON text (`@observe`)",
        OTEL_BOUNDS,
        f"{OTLP} 5 s, gzipped",
    ),
    "logfire": Known(
        "Logfire",
        "fire:start",
        "logfire",
        "import logfire\nf = logfire.instrument()(f)",
        "arguments by name and result, scrubbed (`@logfire.instrument`); a generator's items not",
        f"{OTEL_BOUNDS}; keeps failed requests on disk until the process ends",
        f"{OTLP} 0.5 s, gzipped; each span is announced when it begins, so it goes twice",
    ),
    "prefactor-core": Known(
        "prefactor-core",
        "prefactor:start",
        "prefactor-core",
        "import prefactor_core",
        "what the code hands over, by hand, in coroutines only",
        "grows without bound; the first failed request raises into the host",
        "JSON over HTTP, two requests a span, of which the host waits for the first",
    ),
    "remit-memory": Known("remit, no spool", "recorded:start_without_spool", "remit"),
    "remit-local": Known("remit, local mode", "recorded:start_local", "remit"),
    "remit-off": Known("remit, switched off", "recorded:start_off", "remit"),
}
"""In the order of the tables. The last three are remit's other modes."""

RIVALS = (
    "bare",
    "floor",
    "remit",
    "ddtrace",
    "ddtrace-own",
    "sentry",
    "sentry-own",
    "opentelemetry",
    "logfire",
    "langfuse",
    "prefactor-core",
)
"""Those of the tables that compare calls."""

IN_COROUTINES_ONLY = frozenset({"prefactor-core"})

ONCE = frozenset({"ddtrace-own", "sentry", "sentry-own", "logfire", "langfuse", "prefactor-core"})
"""No budget is a ratio to these, and most are slow: one round of them is enough."""


def started(name: str, port: int, folder: Path, *, roomy: bool) -> Peer:
    """Return a peer by name, started in this process."""
    return PEERS[name].start(Place(port, folder, roomy))
