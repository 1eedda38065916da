"""The API for adapters, through a small framework that reports its steps by callbacks."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import pytest

import remit
from remit.errors import DeniedError, RunTerminated
from remit.testing import FakeClock, RecordedSpan, RecordingSink, isolated
from tests.inside import _runtime, adapters, contributed_interrupts, current_context, version

pytestmark = pytest.mark.python

PAYS = remit.risk(allows="financial_transactions")
PAYS_NOT = remit.risk(forbids="financial_transactions")


@remit.agent("Adapted")
def agent() -> None:
    """Hold the runs."""


@remit.span_type("adapters:decorated")
def decorated(value: int) -> int:
    """Be called by a tool of the framework."""
    return value


class Framework:
    """Calls back when a node begins, ends or fails; a node knows its own id and its parent's."""

    def __init__(self, adapter: Adapter) -> None:
        """Report to *adapter*."""
        self.adapter = adapter
        self.ids = count(1)

    def run(self, name: str, act: Callable[[int], Any], parent: int = 0) -> Any:  # noqa: ANN401
        """Run a node; swallow a refusal, as frameworks that show errors to models do."""
        node = next(self.ids)
        try:
            self.adapter.began(node, parent, name, {"by": "framework"})
            result = act(node)
        except DeniedError as error:
            self.adapter.failed(node, error)
            return "refused"
        except BaseException as error:
            self.adapter.failed(node, error)
            raise
        self.adapter.ended(node, {"said": result})
        return result


class Adapter:
    """What an adapter of a framework is made of."""

    def __init__(self) -> None:
        """Declare the kinds of nodes."""
        self.table: adapters.SpanTable[int] = adapters.SpanTable()
        self.refused: list[str] = []
        self.recorders = {
            "model": adapters.declare("fake:model", "llm", params=dict[str, str]),
            "pay": adapters.declare("fake:pay", "tool", data_risk=PAYS),
            "tool": adapters.declare("fake:tool", "tool", data_risk=PAYS_NOT, title="A tool"),
        }

    def began(self, node: int, parent: int, name: str, inputs: dict[str, object]) -> None:
        """Take a callback."""
        if name == "group":
            self.table.alias(node, parent)
        else:
            self.table.start(node, self.recorders[name], inputs, parent, current=True)

    def ended(self, node: int, outputs: dict[str, object]) -> None:
        """Take a callback."""
        span = self.table.get(node)
        if span is not None and span.refused is not None:
            self.refused.append(span.refused.step)
        self.table.end(node, outputs)

    def failed(self, node: int, error: BaseException) -> None:
        """Take a callback."""
        self.table.end(node, error=error)


@pytest.fixture
def recorder() -> Iterator[RecordingSink]:
    """Record into memory."""
    with isolated() as sink:
        yield sink


@pytest.fixture
def framework(recorder: RecordingSink) -> Framework:
    """Return a framework with its adapter."""
    del recorder
    return Framework(Adapter())


def nothing(_: int) -> str:
    """Do nothing."""
    return "done"


def test_nested_nodes_are_nested_spans(recorder: RecordingSink, framework: Framework) -> None:
    """Decorated functions are beneath the node that calls them; groups have no span."""

    def tool(_: int) -> int:
        return decorated(3)

    def group(node: int) -> Any:  # noqa: ANN401
        return framework.run("tool", tool, parent=node)

    with agent.run():
        before = remit.current_span()
        framework.run("model", lambda node: framework.run("group", group, parent=node))
        assert remit.current_span() == before
    assert recorder.tree() == [
        [["fake:model", [["fake:tool", [["adapters:decorated", []]]]]]],
    ]
    model = recorder.spans("fake:model")[0]
    assert model.payload == {"inputs": {"by": "framework"}}
    assert (model.status, model.result) == ("complete", {"said": 3})


def test_spans_end_in_any_order_and_on_any_thread(
    recorder: RecordingSink, framework: Framework
) -> None:
    """Each once: what is reported twice counts the first time."""
    table, tool = framework.adapter.table, framework.adapter.recorders["tool"]
    with agent.run():
        table.start(1, tool, {})
        table.start(2, tool, {}, 1)
        thread = threading.Thread(target=table.end, args=(1, {"first": True}))
        thread.start()
        thread.join(10)
        span = table.get(2)
        assert span is not None
        span.end({"said": "once"})
        span.end({"said": "twice"})
    outer, inner = recorder.spans()
    assert inner.parent == outer.key
    assert [outer.result, inner.result] == [{"first": True}, {"said": "once"}]


def test_a_refusal_is_known_to_the_spans_around_it(framework: Framework) -> None:
    """However the framework treats the exception."""
    with isolated(on_violation="deny") as recorder:
        framework = Framework(Adapter())

        @remit.agent("Careful", data_risk=PAYS_NOT)
        def careful() -> None: ...

        with careful.run():
            framework.run(
                "model",
                lambda node: framework.run(
                    "tool", lambda node: framework.run("pay", nothing, parent=node), parent=node
                ),
            )
    statuses = {span.name: span.status for span in recorder.spans()}
    assert statuses == {"fake:model": "complete", "fake:tool": "complete", "fake:pay": "failed"}
    assert framework.adapter.refused == ["fake:pay", "fake:pay"]


def test_models_are_not_refused_for_what_they_leave_unknown() -> None:
    """They have no effect of their own; a tool that says nothing is refused."""
    with isolated(on_violation="deny"):
        unknown_tool = adapters.declare("fake:unknown", "tool")
        model = adapters.declare("fake:model", "llm")

        @remit.agent("Careful", data_risk=PAYS_NOT)
        def careful() -> None: ...

        with careful.run():
            adapters.start(model, {}).end()
            with pytest.raises(DeniedError):
                adapters.start(unknown_tool, {})


def test_what_is_open_at_the_end_of_the_block_is_cancelled(
    recorder: RecordingSink, framework: Framework
) -> None:
    """The run does not wait for a callback that may never come."""
    table, tool = framework.adapter.table, framework.adapter.recorders["tool"]
    with agent.run():
        table.start(1, tool, {})
        table.start(2, tool, {}, 1)
    assert [span.status for span in recorder.spans()] == ["cancelled", "cancelled"]
    assert recorder.runs[0].status == "complete"


def test_a_step_of_a_terminated_run_does_not_begin(
    recorder: RecordingSink, framework: Framework
) -> None:
    """As a decorated one."""
    with agent.run():
        recorder.runs[0].feed.terminated = "stopped"
        with pytest.raises(RunTerminated):
            framework.run("tool", nothing)
    assert recorder.spans() == []


class Paused(Exception):  # noqa: N818 - named as frameworks do
    """A framework waits for somebody."""


def test_a_framework_contributes_what_interrupts(
    recorder: RecordingSink, framework: Framework, request: pytest.FixtureRequest
) -> None:
    """The span is cancelled and the run stays open."""
    adapters.interrupts(Paused)
    request.addfinalizer(contributed_interrupts.clear)

    def pause(_: int) -> None:
        raise Paused

    with pytest.raises(Paused), agent.run():
        framework.run("tool", pause)
    assert [span.status for span in recorder.spans()] == ["cancelled"]
    assert recorder.runs[0].status == "open"


def test_a_span_is_described_while_it_is_open(
    recorder: RecordingSink, framework: Framework
) -> None:
    """Payload and type may be known only at the end."""
    with agent.run():
        span = adapters.start(framework.adapter.recorders["tool"], {"early": 1})
        span.describe({"late": "2"}, framework.adapter.recorders["model"])
        span.end({"tokens": 3})
    (recorded,) = recorder.spans()
    assert (recorded.name, recorded.payload) == ("fake:model", {"inputs": {"late": "2"}})
    assert recorded.result == {"tokens": 3}


def test_spans_that_are_over_are_recorded_in_any_order(
    recorder: RecordingSink, framework: Framework
) -> None:
    """With the times of the framework, and a child before its parent."""
    tool = framework.adapter.recorders["tool"]
    with agent.run():
        root = current_context()
        assert root is not None
        parent = adapters.context_of(root, "parent")
        adapters.record(
            tool, {}, {"n": 2}, parent=parent, started_ns=20, ended_ns=30, ident="child"
        )
        adapters.record(
            tool, {}, None, parent=root, started_ns=10, ended_ns=40, ident="parent", status="failed"
        )
    child, outer = recorder.spans()
    assert child.parent == outer.key
    assert [child.started_ns, child.finished_ns] == [20, 30]
    assert [outer.started_ns, outer.finished_ns, outer.status] == [10, 40, "failed"]


def test_a_span_has_the_times_that_it_is_given(
    recorder: RecordingSink, framework: Framework
) -> None:
    """Of a callback that comes late."""
    with agent.run():
        adapters.start(framework.adapter.recorders["tool"], {}, started_ns=100).end(ended_ns=200)
    (span,) = recorder.spans()
    assert (span.started_ns, span.finished_ns) == (100, 200)


def test_outside_any_run_nothing_is_recorded(recorder: RecordingSink, framework: Framework) -> None:
    """And nothing breaks."""
    assert framework.run("tool", nothing) == "done"
    assert adapters.traceparent() is None
    assert recorder.runs == []


def test_a_block_ends_its_span_with_what_passes_through(
    recorder: RecordingSink, framework: Framework
) -> None:
    """For hooks that wrap a call."""

    def fail() -> None:
        with adapters.start(framework.adapter.recorders["tool"], {}):
            decorated(1)
            raise KeyError

    with agent.run():
        before = remit.current_span()
        with pytest.raises(KeyError):
            fail()
        assert remit.current_span() == before
    tool, step = recorder.spans()
    assert (tool.status, step.parent) == ("failed", tool.key)


def test_a_span_that_ended_elsewhere_is_not_current_after_its_end(recorder: RecordingSink) -> None:
    """Its own hook reports the end once more, in the context in which it is current."""
    with agent.run():
        root = current_context()
        span = adapters.start(adapters.declare("fake:tool", "tool"), {}).make_current()
        thread = threading.Thread(target=span.cancel)
        thread.start()
        thread.join()
        span.end()
        assert current_context() is root
        decorated(1)
    assert [span.status for span in recorder.spans()] == ["cancelled", "complete"]


def test_a_run_that_is_nobodys_block_ends_when_told(
    recorder: RecordingSink, framework: Framework
) -> None:
    """A session of a server, used from wherever its requests arrive."""
    runs: adapters.SessionTable[str] = adapters.SessionTable()
    sessions = adapters.declare_agent("fake.server:sessions", name="Sessions")
    for _ in range(2):
        context = runs.context("session", lambda: sessions.open(subject="Ada"))
        adapters.start(framework.adapter.recorders["tool"], {}, parent=context).end()
        assert remit.current_run() is None
    assert [run.status for run in recorder.runs] == ["active"]
    runs.end("session")
    assert [run.status for run in recorder.runs] == ["complete"]
    assert recorder.runs[0].agent == "fake.server:sessions"
    assert recorder.runs[0].root.payload["subject"] == "Ada"
    assert len(recorder.spans()) == 2


def test_a_trace_of_another_system_can_be_linked(
    recorder: RecordingSink, framework: Framework
) -> None:
    """By the header of W3C, the same for all spans of a run in its first part."""
    with agent.run():
        outer = adapters.traceparent()
        with adapters.start(framework.adapter.recorders["tool"], {}):
            inner = adapters.traceparent()
    assert outer is not None
    assert inner is not None
    assert outer.split("-")[1] == inner.split("-")[1]
    assert [len(part) for part in inner.split("-")] == [2, 32, 16, 2]
    del recorder


def test_a_run_keeps_the_trace_that_it_was_opened_in(recorder: RecordingSink) -> None:
    """Linked, not joined."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sessions = adapters.declare_agent("fake.server:traced")
    sessions.open(traceparent=trace).exit(None)
    assert recorder.runs[0].root.payload["traceparent"] == trace


def test_servers_are_told_of_adapters_outermost_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the SDK itself, each once."""
    monkeypatch.setattr(version, "_adapters", [])
    sdk = version.sdk_header()
    for name in ("remit-inner@1", "remit-outer@2", "remit-inner@1"):
        adapters.announce(name)
    assert version.sdk_header() == f"remit-outer@2 remit-inner@1 {sdk}"


def test_a_step_without_a_function_is_registered(framework: Framework) -> None:
    """With its schemas, title and data risk."""
    del framework
    with isolated():

        @remit.agent("Registered", span_types=["fake:"])
        def registered() -> None: ...

        Adapter()
        content: Any = registered.registration()["agent_schema_version"]
    entries = {each["name"]: each for each in content["span_type_schemas"]}
    model, tool = entries["fake:model"], entries["fake:tool"]
    assert model["params_schema"]["properties"]["inputs"]["type"] == "object"
    assert tool["title"] == "A tool"
    assert tool["data_risk"]["action_profile"]


# Lists that keep their newest elements


def message(number: int) -> dict[str, Any]:
    """Return one of a conversation."""
    return {"role": "user", "content": f"message {number}"}


def asked(
    payload: dict[str, object],
    result: dict[str, object] | None = None,
    *,
    newest: Sequence[str] = ("messages",),
) -> RecordedSpan:
    """Record a step whose *newest* lists keep their last elements; return the span."""
    model = adapters.declare("fake:chat", "llm", newest=newest)
    sink = _runtime.current().recorder.sink
    assert isinstance(sink, RecordingSink)
    with agent.run():
        adapters.start(model, payload).end(result)
    return sink.spans()[-1]


def before(total: int) -> dict[str, object]:
    """Return the marker in front of a list of *total* elements."""
    return {"$remit": "cut", "of": total, "unit": "items"}


def check_newest(shown: Any, given: list[Any]) -> list[Any]:  # noqa: ANN401 - any JSON
    """Check that *shown* is the end of *given* after a marker; return what was kept."""
    assert type(shown) is list
    first, *kept = shown
    assert first == before(len(given))
    assert 0 < len(kept) < len(given)
    assert kept[1:] == given[-len(kept) + 1 :]  # a text in the first of them may be cut
    return kept


@pytest.mark.usefixtures("recorder")
def test_a_conversation_keeps_its_newest_messages() -> None:
    """And the other fields, whatever their order."""
    messages = [message(number) for number in range(10_000)]
    span = asked({"messages": messages, "model": "large"}, {"messages": messages, "tokens": 3})
    for shown in (span.payload["inputs"], span.result):
        assert shown is not None
        kept = check_newest(shown["messages"], messages)
        assert kept[-1] == messages[-1]
        assert len(kept) > 400
    assert (span.payload["inputs"]["model"], (span.result or {})["tokens"]) == ("large", 3)


@pytest.mark.parametrize("limit", [300, 1_000, 5_000])
def test_a_conversation_keeps_to_the_bound_in_bytes(limit: int) -> None:
    """Of the JSON text; the tools beside it are cut as ever, from the end."""
    messages = [message(number) for number in range(300)]
    with isolated(max_payload_bytes=limit):
        span = asked({"messages": messages})
        shared = asked({"tools": ["x" * 50] * 500, "messages": messages})
    check_newest(span.payload["inputs"]["messages"], messages)
    for payload in (span.payload, shared.payload):
        assert len(json.dumps(payload, separators=(",", ":"))) <= limit
    if limit > 300:
        tools = shared.payload["inputs"]["tools"]
        assert (tools["$remit"], tools["of"]) == ("cut", 500)
        check_newest(shared.payload["inputs"]["messages"], messages)


@pytest.mark.usefixtures("recorder")
def test_lists_in_a_conversation_keep_their_newest_elements() -> None:
    """Whatever holds them; a payload as a whole can be named."""
    parts = [[number] for number in range(5_000)]
    for wrap in (list[Any], tuple[Any, ...], deque[Any]):
        span = asked({"request": {"messages": [{"parts": wrap(parts)}]}})
        check_newest(span.payload["inputs"]["request"]["messages"][0]["parts"], parts)
    whole = asked({"a": {"b": parts}}, {"c": [parts]}, newest=("inputs", "result"))
    check_newest(whole.payload["inputs"]["a"]["b"], parts)
    check_newest((whole.result or {})["c"][0], parts)


@pytest.mark.usefixtures("recorder")
def test_what_fits_and_what_is_not_named_is_as_ever() -> None:
    """A list that is not cut has no marker."""
    numbers = list(range(5_000))
    span = asked({"messages": [message(1), ["a", "b"]], "others": numbers})
    assert span.payload["inputs"]["messages"] == [message(1), ["a", "b"]]
    others = span.payload["inputs"]["others"]
    assert (others["$remit"], others["of"], others["head"][0]) == ("cut", 5_000, 0)
    plain = asked({"messages": numbers}, newest=())
    assert plain.payload["inputs"]["messages"]["head"][0] == 0


@pytest.mark.usefixtures("recorder")
def test_every_message_that_is_kept_is_redacted_and_counted() -> None:
    """What was cut away is not counted."""
    messages = [{"role": "user", "password": f"canary {number}"} for number in range(10_000)]
    kept = asked({"messages": messages}).payload["inputs"]["messages"][1:]
    whole = [each for each in kept if "$remit" not in each and "password" in each]
    assert len(whole) > 100
    assert all(each["password"]["rule"] == "name:password" for each in whole)
    counts = remit.status().withheld
    assert counts == {"name:password": json.dumps(kept).count("name:password")}


def test_a_secret_is_known_by_what_was_cut_away_before_it() -> None:
    """By the flag, the name in a pair, the first line of a private key."""
    arguments = ["x" * 30] * 50 + ["--password", "canary"]
    lines = ["some text"] * 50 + ["-----BEGIN RSA PRIVATE KEY-----", *["canary" * 10] * 25]
    pair = ["password", ["canary"] * 400]
    for limit in range(256, 1_200, 8):
        with isolated(max_payload_bytes=limit):
            for given in (arguments, lines, [pair], [tuple(pair)], tuple(pair)):
                shown = asked({"messages": given}).payload
                assert "canary" not in json.dumps(shown), (given, shown)
    with isolated():
        short = ["."] * 9_000 + ["-----BEGIN RSA PRIVATE KEY-----", *["canary"] * 2_000]
        assert "canary" not in json.dumps(asked({"messages": short}).payload)


def test_a_list_of_the_hooks_keeps_its_newest_elements_too() -> None:
    """It is cut twice; the marker says how long it was at first."""
    messages = [message(number) for number in range(10_000)]

    def hook(payload: dict[str, object]) -> dict[str, object]:
        return {**payload, "note": "x" * 2_000}

    with isolated(redact=hook, max_payload_bytes=4_000):
        span = asked({"model": "large", "messages": messages})
    check_newest(span.payload["inputs"]["messages"], messages)
    assert span.payload["inputs"]["model"] == "large"
    assert span.payload["note"]


# What else an adapter relies on


def test_an_idle_run_ends_at_the_writers_pass() -> None:
    """Without another use of the table."""
    clock = FakeClock()
    with isolated(clock=clock) as recorder:
        runs: adapters.SessionTable[str] = adapters.SessionTable(idle_s=60)
        sessions = adapters.declare_agent("fake.server:sessions")
        tool = adapters.declare("fake:tool", "tool")
        runtime = _runtime.current()
        for key in ("a", "b"):
            adapters.start(tool, {}, parent=runs.context(key, sessions.open))
        clock.advance(40)
        runs.context("b", sessions.open)
        clock.advance(40)
        runtime.tick()
        assert [run.status for run in recorder.runs] == ["complete", "active"]
        assert [span.status for span in recorder.spans()] == ["cancelled", "active"]
        runs.context("a", sessions.open)
        assert len(recorder.runs) == 3
        clock.advance(70)
        runtime.tick()
        assert {run.status for run in recorder.runs} == {"complete"}


def test_an_idle_run_that_has_ended_is_not_held() -> None:
    """A server with many sessions would keep them all."""
    clock = FakeClock()
    with isolated(clock=clock):
        runs: adapters.SessionTable[str] = adapters.SessionTable(idle_s=60)
        sessions = adapters.declare_agent("fake.server:sessions")
        context = runs.context("a", sessions.open)
        assert context is not None
        run = weakref.ref(context.run)
        clock.advance(70)
        _runtime.current().tick()
        runs.context("b", sessions.open)
        del context
        gc.collect()
        assert run() is None


def test_open_spans_are_cancelled_at_the_exit() -> None:
    """They belong to a run without a block, which is still active."""
    with isolated() as recorder:
        runs: adapters.SessionTable[str] = adapters.SessionTable()
        sessions = adapters.declare_agent("fake.server:sessions")
        tool = adapters.declare("fake:tool", "tool")
        adapters.start(tool, {}, parent=runs.context("session", sessions.open))
        _runtime.current().at_exit()
        assert [span.status for span in recorder.spans()] == ["cancelled"]
        assert [run.status for run in recorder.runs] == ["failed"]


def test_a_result_is_withheld_as_declared(recorder: RecordingSink) -> None:
    """Of a span that ends, and of one that is over."""
    tool = adapters.declare("fake:vault", "tool", data_risk=remit.risk(classification="secret"))
    with agent.run():
        root = current_context()
        assert root is not None
        adapters.start(tool, {}).end({"said": "canary"})
        adapters.record(
            tool, {}, {"said": "canary"}, parent=root, started_ns=1, ended_ns=2, ident="told"
        )
    rules = [(span.result or {}).get("rule") for span in recorder.spans()]
    assert rules == ["classification:secret"] * 2


def test_a_type_that_is_known_at_the_end_is_noted_like_any_other() -> None:
    """It joins the next run's registration, and what exceeds the remit is marked."""
    with isolated() as recorder:
        tool = adapters.declare("fake:tool", "tool", data_risk=PAYS_NOT)
        late = adapters.declare("other:pay", "tool", data_risk=PAYS)

        @remit.agent("Careful", data_risk=PAYS_NOT)
        def careful() -> None: ...

        with careful.run():
            span = adapters.start(tool, {})
            span.describe({}, late)
            span.end()
        (recorded,) = recorder.spans()
        assert recorded.name == "other:pay"
        assert recorded.exceeds
        content: Any = careful.registration()["agent_schema_version"]
    assert "other:pay" in {each["name"] for each in content["span_type_schemas"]}


def test_a_block_of_a_run_keeps_the_trace_around_it(recorder: RecordingSink) -> None:
    """It is linked as a run without a block is."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with adapters.declare_agent("fake.server:entry").block(traceparent=trace):
        pass
    assert recorder.runs[0].root.payload["traceparent"] == trace
