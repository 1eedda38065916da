"""`configure(span_processor=...)`: runs leave to a receiver of OTLP on this machine."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import remit
from remit.errors import DeniedError, RunTerminated, SettingsError
from remit.otel import Bridge
from remit.testing import RecordingSink, isolated
from tests.inside import Faults, counting, declare, declare_agent, start, targets, traceparent
from tests.served import PATIENCE

ROOT = Path(__file__).parents[2]
ERROR = trace_pb2.Status.STATUS_CODE_ERROR
UNSET = trace_pb2.Status.STATUS_CODE_UNSET
FINDS = remit.risk(
    allows="read_data", forbids="financial_transactions", gives="contact_information"
)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@remit.agent("Shop", data_risk=remit.risk(forbids="financial_transactions"))
def shop(question: str) -> str:
    """Answer a question about an order."""
    return find(question)


@remit.span_type("shop:find", data_risk=FINDS)
def find(order_id: str) -> str:
    """Find an order."""
    return order_id


@remit.span_type("shop:refund", data_risk=remit.risk(allows="financial_transactions"))
def refund(amount: int) -> str:
    """Pay an amount back."""
    raise AssertionError(f"{amount} was paid")


@remit.span_type("shop:fail", data_risk=FINDS)
def fail() -> None:
    """Fail."""
    raise LookupError("no such order")


@dataclass
class Receiver:
    """A receiver of OTLP over HTTP.

    Attributes:
        url: Its address.
        requests: What it was sent.
    """

    url: str = ""
    requests: list[ExportTraceServiceRequest] = field(
        default_factory=list[ExportTraceServiceRequest]
    )

    def processor(self) -> BatchSpanProcessor:
        """Return a span processor that sends to it."""
        return BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{self.url}/v1/traces"))

    def spans(self) -> dict[str, trace_pb2.Span]:
        """Return the spans by name."""
        return {
            span.name: span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Serve on a port of this machine."""
    received = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.requests.append(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    received.url = f"http://127.0.0.1:{server.server_port}"
    yield received
    server.shutdown()
    thread.join()
    server.server_close()


def attributes_of(span: trace_pb2.Span) -> dict[str, Any]:
    """Return the attributes of a span, as Python has them."""
    values: dict[str, Any] = {}
    for attribute in span.attributes:
        kind = attribute.value.WhichOneof("value") or ""
        value = getattr(attribute.value, kind, None)
        if kind == "array_value":
            value = [each.string_value for each in attribute.value.array_value.values]
        values[attribute.key] = value
    return values


def test_a_run_arrives_whole(receiver: Receiver) -> None:
    """Tree, statuses, reasons of refusals, and the trace id of the run's traceparent."""
    model = declare("shop:llm", "llm")
    tool = declare("shop:tool:look_up", "tool")
    with isolated(span_processor=receiver.processor(), on_violation="deny") as recorder:
        with shop.run():
            trace_id = (traceparent() or "").split("-")[1]
            payload = {
                "operation": "chat", "provider": "openai", "model_name": "m",
                "inputs": {"model": "m", "messages": [{"role": "user", "content": "Where?"}]},
            }  # fmt: skip
            with start(model, payload) as call:
                usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
                call.end({"outputs": {"finish_reasons": ["stop"]}, "token_usage": usage})
            payload = {"tool_name": "look_up", "call_id": "c1", "inputs": {"order_id": "A-1"}}
            with start(tool, payload, deny=False):
                find("A-1")
            with pytest.raises(DeniedError):
                refund(5)
            with pytest.raises(LookupError):
                fail()
        remit.flush()
        spans = receiver.spans()
        assert {span.trace_id.hex() for span in spans.values()} == {trace_id}
        names = {span.span_id: span.name for span in spans.values()}
        assert {span.name: names.get(span.parent_span_id) for span in spans.values()} == {
            "invoke_agent Shop": None,
            "chat m": "invoke_agent Shop",
            "execute_tool look_up": "invoke_agent Shop",
            "shop:find": "execute_tool look_up",
            "shop:refund": "invoke_agent Shop",
            "shop:fail": "invoke_agent Shop",
        }
        recorded = {span.started_ns for span in recorder.spans()}
        assert recorded < {span.start_time_unix_nano for span in spans.values()}

    root = spans["invoke_agent Shop"]
    assert attributes_of(root)["gen_ai.agent.name"] == "Shop"
    assert attributes_of(root)["remit.run.purpose"] == "live"
    call = spans["chat m"]
    assert call.kind == trace_pb2.Span.SPAN_KIND_CLIENT
    assert attributes_of(call) == {
        "remit.span_type": "shop:llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 4,
    }
    assert attributes_of(spans["execute_tool look_up"])["gen_ai.tool.call.id"] == "c1"
    risk = attributes_of(spans["shop:find"])
    assert risk["remit.risk.allows"] == ["read_data"]
    assert risk["remit.risk.gives"] == ["contact_information"]

    refused = spans["shop:refund"]
    assert refused.status.code == ERROR
    assert attributes_of(refused)["error.type"] == "remit.errors.DeniedError"
    assert attributes_of(refused)["remit.verdict"] == "deny"
    assert not [name for name in attributes_of(refused) if name.startswith("gen_ai.security")]
    reason = attributes_of(refused)["remit.verdict_reason"]
    assert reason.startswith("financial_transactions")
    failed = spans["shop:fail"]
    assert (failed.status.code, failed.status.message) == (ERROR, "no such order")
    assert attributes_of(failed)["error.type"] == "LookupError"
    assert spans["shop:find"].status.code == UNSET


COMPARE = Path(__file__).parents[2] / "docs/get-started/compare.md"

PROGRAM = """
import sys
import remit
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor

remit.configure(span_processor=BatchSpanProcessor(OTLPSpanExporter(endpoint=sys.argv[1])))


@remit.span_type
def find(order_id: str) -> str:
    return order_id


@remit.agent
def shop(question: str) -> str:
    return find(question)


shop("A-1")
"""


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a program that keeps its files in *folder*."""
    return {"REMIT_DATA_DIR": str(folder), **PATIENCE}


def test_a_program_that_ends_has_exported_its_run(receiver: Receiver, tmp_path: Path) -> None:
    """Without a flush of its own, and beside the delivery."""
    subprocess.run(
        [sys.executable, "-c", PROGRAM, f"{receiver.url}/v1/traces"],
        check=True,
        env={"OTEL_SERVICE_NAME": "shop", **environment(tmp_path)},
    )
    spans = receiver.spans()
    assert {span.name.rpartition(":")[2] for span in spans.values()} == {
        "invoke_agent Shop", "shop", "find",
    }  # fmt: skip
    resource = receiver.requests[0].resource_spans[0].resource
    named = {attribute.key: attribute.value.string_value for attribute in resource.attributes}
    assert named["service.name"] == "shop"
    assert (tmp_path / "remit.db").exists()


def test_the_program_of_the_comparison_is_recorded_by_both(
    receiver: Receiver, tmp_path: Path
) -> None:
    """The page *Compare* shows it; the address is in the environment."""
    program = COMPARE.read_text().partition("```python\n")[2].partition("```")[0]
    (tmp_path / "both.py").write_text(program)
    finished = subprocess.run(
        [sys.executable, "both.py"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, **environment(tmp_path)},
    )
    assert finished.stdout.startswith("Policy denied this step")
    spans = receiver.spans()
    assert set(spans) == {"invoke_agent Support", "both:support", "both:refund"}
    assert attributes_of(spans["both:refund"])["remit.verdict"] == "deny"
    assert (tmp_path / "remit.db").exists()


@pytest.mark.parametrize(
    ("traceparent", "linked"), [(PARENT, [PARENT.split("-")[1]]), ("00-zz-1-01", []), ("x", [])]
)
def test_a_run_is_linked_to_the_trace_that_it_was_opened_in(
    traceparent: str, linked: list[str]
) -> None:
    """A malformed header gives a run without a link."""
    exporter, processor = exported()
    with isolated(span_processor=processor):
        declare_agent("shop.agents:Shop").open(traceparent=traceparent).exit(None)
        remit.flush()
    (root,) = exporter.get_finished_spans()
    assert [f"{link.context.trace_id:032x}" for link in root.links] == linked


def exported() -> tuple[InMemorySpanExporter, BatchSpanProcessor]:
    """Return an exporter into memory, and a span processor that uses it."""
    exporter = InMemorySpanExporter()
    return exporter, BatchSpanProcessor(exporter)


def terminate(recorder: RecordingSink) -> None:
    """Terminate the run, and make the next step of it."""
    recorder.runs[0].feed.terminated = "enough"
    find("A-1")


def test_a_terminated_run_and_a_cancelled_step_say_so() -> None:
    """The run is an error with its reason; what it interrupted is cancelled."""
    exporter, processor = exported()
    with isolated(span_processor=processor) as recorder:
        with pytest.raises(RunTerminated), shop.run(), remit.span("outer"):
            terminate(recorder)
        remit.flush()
        spans = {span.name: span for span in exporter.get_finished_spans()}
    root, outer = spans["invoke_agent Shop"], spans["outer"]
    assert (root.status.is_ok, root.status.description) == (False, "enough")
    assert (root.attributes or {})["error.type"] == "remit.errors.RunTerminated"
    assert (outer.status.is_unset, (outer.attributes or {})["remit.status"]) == (True, "cancelled")


def test_a_run_that_is_left_open_has_its_root() -> None:
    """Otherwise its steps would be beneath a span that never arrives."""
    exporter, processor = exported()
    with isolated(span_processor=processor):
        with shop.run() as run:
            find("A-1")
            run.leave_open()
        remit.flush()
        (step, root) = exporter.get_finished_spans()
    assert (root.attributes or {})["remit.status"] == "open"
    assert step.parent is not None
    assert root.context is not None
    assert step.parent.span_id == root.context.span_id


@pytest.mark.parametrize("value", ["span_only", "no_content"])
def test_contents_are_exported_on_request(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable that instrumentation of GenAI shares; what is redacted stays redacted."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", value)

    @remit.span_type("shop:login")
    def login(name: str, password: str) -> str:
        return f"{name} {len(password)}"

    model = declare("shop:llm", "llm")
    exporter, processor = exported()
    with isolated(span_processor=processor):
        with shop.run(subject="user-7"):
            login("ada", "a very secret one")
            inputs = {"messages": [{"role": "user", "content": "Where?"}]}
            answer = [{"role": "assistant", "content": "There."}]
            with start(model, {"model_name": "m", "inputs": inputs}) as call:
                call.end({"outputs": {"messages": answer}})
        remit.flush()
        spans = {span.name: dict(span.attributes or {}) for span in exporter.get_finished_spans()}
    shown = {
        "gen_ai.tool.call.arguments": spans["shop:login"].get("gen_ai.tool.call.arguments"),
        "gen_ai.input.messages": spans["chat m"].get("gen_ai.input.messages"),
        "gen_ai.output.messages": spans["chat m"].get("gen_ai.output.messages"),
        "remit.run.subject": spans["invoke_agent Shop"].get("remit.run.subject"),
    }
    assert "secret" not in str(spans)
    if value == "no_content":
        assert set(shown.values()) == {None}
        return
    assert json.loads(str(shown["gen_ai.tool.call.arguments"]))["name"] == "ada"
    assert json.loads(str(shown["gen_ai.input.messages"])) == [
        {"role": "user", "parts": [{"type": "text", "content": "Where?"}]}
    ]
    assert "There." in str(shown["gen_ai.output.messages"])
    assert shown["remit.run.subject"] == "user-7"


def test_spans_of_the_bridge_are_not_exported_again() -> None:
    """A step beneath one of them is beneath the nearest span that is exported."""
    exporter, processor = exported()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Bridge())
    with isolated(span_processor=processor):
        with shop.run(), provider.get_tracer("test").start_as_current_span("execute_tool t"):
            find("A-1")
        remit.flush()
        step, root = exporter.get_finished_spans()
    assert (step.name, root.name) == ("shop:find", "invoke_agent Shop")
    assert step.parent is not None
    assert root.context is not None
    assert step.parent.span_id == root.context.span_id


class Threads(SpanExporter):
    """Notes the threads on which names and attributes are read."""

    def __init__(self) -> None:
        """Begin with none."""
        self.names: set[str] = set()

    def export(self, spans: Any) -> Any:
        """Read the spans."""
        for span in spans:
            assert "_name" not in vars(span)
            assert span.to_json()
            assert "_name" in vars(span)
            self.names.add(threading.current_thread().name)


def test_spans_are_read_on_the_thread_of_the_exporter() -> None:
    """The caller's thread only hands them over."""
    exporter = Threads()
    with isolated(span_processor=BatchSpanProcessor(exporter)):
        shop("A-1")
        remit.flush()
    assert exporter.names
    assert threading.current_thread().name not in exporter.names


class Broken(SpanProcessor):
    """Raises."""

    def on_end(self, span: ReadableSpan) -> None:
        """Raise."""
        raise OSError(span.name)


def test_a_processor_that_raises_loses_its_own_spans_only() -> None:
    """The program and the record are as without it; the faults are counted."""
    with isolated(span_processor=Broken()) as recorder, counting(Faults()) as faults:
        assert shop("A-1") == "A-1"
    assert faults.counts == {"the export of a span": 3}
    assert [run.tree() for run in recorder.runs] == [
        [["tests.integrations.test_otel_export:shop", [["shop:find", []]]]]
    ]
    assert {span.status for span in recorder.spans()} == {"complete"}


def test_what_is_no_processor_is_refused() -> None:
    """By the name of the setting."""
    with isolated(), pytest.raises(SettingsError, match="expected a span processor"):
        remit.configure(span_processor=ConsoleSpanExporter())


def test_without_opentelemetry_the_setting_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names itself, and what is missing."""
    (tmp_path / "export_without_sdk.py").write_text(
        "from remit.errors import DeclarationError\nraise DeclarationError('needs the SDK')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(targets, "EXPORT", "export_without_sdk")
    with isolated() as recorder:
        with pytest.raises(SettingsError, match="setting span_processor: needs the SDK"):
            remit.configure(span_processor=Broken())
        shop("A-1")
        assert len(recorder.runs) == 1


CONTEXT = """
import remit
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from remit.testing import RecordingSink, isolated
provider = TracerProvider()
tracer = provider.get_tracer("test")
def ids():
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}-{context.span_id:016x}"
@remit.span_type
def step():
    own = ids()
    with tracer.start_as_current_span("inner") as inner:
        assert inner.parent.span_id == int(own[-16:], 16)
        assert ids() != own
        with remit.span("innermost"):
            assert ids() not in (own,)
            with tracer.start_as_current_span("last") as last:
                assert trace.get_current_span() is last
        assert trace.get_current_span() is inner
    assert ids() == own
    return own
@remit.agent
def agent(): pass
with isolated() as recorder:
    with tracer.start_as_current_span("request") as request:
        with agent.run(), agent.run():
            own = step()
        assert trace.get_current_span() is request
    assert not trace.get_current_span().get_span_context().is_valid
    from opentelemetry import baggage, context
    with agent.run():
        token = context.attach(baggage.set_baggage("a", "b"))
        with remit.span("x"):
            assert baggage.get_baggage("a") == "b"
        context.detach(token)
        assert baggage.get_baggage("a") is None
from remit._base.ids import decode
run = recorder.runs[1]
print(own == f"{decode(run.root.key):032x}-{decode(run.spans[1].key) % 2**64:016x}")
"""


@pytest.mark.parametrize("first", ["import remit", "import opentelemetry.trace"])
def test_the_current_span_follows_remits(first: str, tmp_path: Path) -> None:
    """Both orders of nesting, whichever is imported first."""
    # The entry point as pyproject.toml has it now, whenever the package was installed.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    value = project["entry-points"]["opentelemetry_context"]["remit"]
    installed = tmp_path / "context-0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: context\nVersion: 0\n")
    (installed / "entry_points.txt").write_text(f"[opentelemetry_context]\nremit = {value}\n")
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{first}\n{CONTEXT}"],
        check=False,
        capture_output=True,
        text=True,
        env={"OTEL_PYTHON_CONTEXT": "remit", "PYTHONPATH": str(tmp_path)},
    )
    assert (answer.stdout, answer.stderr) == ("True\n", "")
