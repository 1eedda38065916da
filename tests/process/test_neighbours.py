"""Beside other tracers: each sees the host's work and none of remit's own, in either order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_api import FakeApi
from tests.loopback import serving

pytestmark = pytest.mark.gate

# Each starts its tracer, and leaves `seen()`: everything that it recorded, as one text.
OPENTELEMETRY = """
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
for each in (
    HTTPXClientInstrumentor, HTTPX2ClientInstrumentor, SQLite3Instrumentor, StarletteInstrumentor
):
    each().instrument()
span = trace.get_tracer("host").start_as_current_span("host span")

def seen():
    return " ".join(each.to_json() for each in exporter.get_finished_spans())
"""

LOGFIRE = """
import logfire
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
logfire.configure(send_to_logfire=False, console=False, inspect_arguments=False,
                  additional_span_processors=[SimpleSpanProcessor(exporter)])
logfire.instrument_httpx()
logfire.instrument_sqlite3()
span = logfire.span("host span")

def seen():
    return " ".join(each.to_json() for each in exporter.get_finished_spans())
"""

SENTRY = """
import json
import sentry_sdk
from sentry_sdk.integrations.httpx import HttpxIntegration

# Of each framework that is installed it would import all, which takes 10 s.
envelopes = []

class Kept(sentry_sdk.transport.Transport):
    def capture_envelope(self, envelope):
        envelopes.append(envelope.serialize().decode(errors="replace"))

sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", traces_sample_rate=1.0, transport=Kept,
                integrations=[HttpxIntegration()], auto_enabling_integrations=False)
span = sentry_sdk.start_transaction(name="host span")

def seen():
    sentry_sdk.flush()
    return " ".join(envelopes)
"""

DDTRACE = """
import os
os.environ |= {"DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false", "DD_REMOTE_CONFIGURATION_ENABLED":
               "false", "DD_TRACE_AGENT_URL": "http://127.0.0.1:9"}
from ddtrace import patch
from ddtrace.trace import TraceFilter, tracer

traced = []

class Kept(TraceFilter):
    def process_trace(self, trace):
        traced.extend(f"{each.name} {each.resource} {each.get_tags()}" for each in trace)

tracer.configure(trace_processors=[Kept()])
patch(httpx=True, sqlite3=True, starlette=True, logging=True)
span = tracer.trace("host span")

def seen():
    return " ".join(traced)
"""

REMIT = """
import remit

@remit.span_type
def step(number: int) -> int:
    return number

@remit.agent
def agent(number: int) -> int:
    return step(number)
"""

PROGRAM = """
import httpx, sys
with span:
    assert agent(3) == 3
    assert remit.flush(60), remit.status()
    httpx.get(sys.argv[1])
assert remit.shutdown()
text = seen()
assert "host span" in text, text
assert "/host" in text, text
words = ("agent_instance", "/bulk", "agent_span", "sqlite", "INSERT", "PRAGMA", "SELECT", "BEGIN")
print([word for word in words if word in text])
"""

TRACERS = {"opentelemetry": OPENTELEMETRY, "logfire": LOGFIRE, "sentry": SENTRY, "ddtrace": DDTRACE}


# Each tracer in each mode, and each tracer first in one of them; `full` has the other half.
CASES = [
    pytest.param(
        tracer,
        first,
        mode,
        id=f"{tracer}-{first}-{mode}",
        marks=[] if (first == "remit") == (mode == "remote") else [pytest.mark.full],
    )
    for tracer in TRACERS
    for first in ("remit", "the other")
    for mode in ("remote", "local")
]


@pytest.mark.parametrize(("tracer", "first", "mode"), CASES)
def test_another_tracer_sees_its_own_spans_and_none_of_our_requests(
    tracer: str, first: str, mode: str, tmp_path: Path
) -> None:
    """It sees no request, no statement of the spool, and none of the local collector."""
    parts = [REMIT, TRACERS[tracer]] if first == "remit" else [TRACERS[tracer], REMIT]
    api = FakeApi()
    with serving(api.behave) as url:
        done = subprocess.run(
            [sys.executable, "-c", "\n".join([*parts, PROGRAM]), f"{url}/host"],
            env={
                **os.environ,
                "PYDANTIC_DISABLE_PLUGINS": "",
                "REMIT_MODE": mode,
                "REMIT_API_URL": url,
                "REMIT_API_TOKEN": "pf_0123456789abcdef",
                "REMIT_DATA_DIR": str(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.replace("'", '"')) == []
    if mode == "remote":
        assert len(api.spans) == 3
