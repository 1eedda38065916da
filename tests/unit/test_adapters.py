"""The API for adapters, through a small framework that reports its steps by callbacks."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import partial
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any, cast, get_args

import pytest
from click.testing import CliRunner

import remit
from remit._declare.registry import StepKind
from remit.cli import main
from remit.config import OnViolation, Settings
from remit.errors import DeclarationError, DeniedError, RunTerminated, UsageError
from remit.testing import FakeClock, RecordedSpan, RecordingSink, isolated
from tests.inside import (
    ManualSpan,
    SessionTable,
    SpanTable,
    add_to_header,
    ceiling_of,
    collect_denials,
    contributed_interrupts,
    current_context,
    declarations,
    declare,
    declare_agent,
    guard,
    inside,
    interrupts,
    name_tool,
    permit,
    process,
    setup,
    start,
    step_of,
    traceparent,
    version,
    within,
)

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

    def run(self, name: str, act: Callable[[int], Any], parent: int = 0) -> Any:
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
        self.table: SpanTable[int] = SpanTable()
        self.refused: list[str] = []
        self.recorders = {
            "model": declare("fake:model", "llm", params=dict[str, str]),
            "pay": declare("fake:pay", "tool", data_risk=PAYS),
            "tool": declare("fake:tool", "tool", data_risk=PAYS_NOT, title="A tool"),
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
        if span is not None and span.denied is not None:
            self.refused.append(span.denied.step)
        self.table.end(node, outputs)

    def failed(self, node: int, error: BaseException) -> None:
        """Take a callback."""
        self.table.end(node, error=error)


@pytest.fixture(autouse=True)
def lists() -> Iterator[None]:
    """Remove what a test adds to the header and to the interrupts."""
    names, types = list(version.adapter_names), list(contributed_interrupts)
    yield
    version.adapter_names[:], contributed_interrupts[:] = names, types


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

    def group(node: int) -> Any:
        return framework.run("tool", tool, parent=node)

    with agent.run():
        before = remit.current_span()
        framework.run("model", lambda node: framework.run("group", group, parent=node))
        assert remit.current_span() == before
    assert recorder.tree() == [
        [["fake:model", [["fake:tool", [["adapters:decorated", []]]]]]],
    ]
    model = recorder.spans("fake:model")[0]
    assert model.payload == {"by": "framework"}
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
        thread.join(60)
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
        unknown_tool = declare("fake:unknown", "tool")
        model = declare("fake:model", "llm")

        @remit.agent("Careful", data_risk=PAYS_NOT)
        def careful() -> None: ...

        with careful.run():
            start(model, {}).end()
            with pytest.raises(DeniedError):
                start(unknown_tool, {})


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


def test_what_came_so_far_is_the_result_of_a_span_without_an_end(recorder: RecordingSink) -> None:
    """An end that is reported in time has a result of its own."""
    tool = declare("fake:tool", "tool")
    with agent.run():
        left, ended = (start(tool, {}) for _ in range(2))
        left.so_far = ended.so_far = lambda: {"outputs": {"output": "half"}}
        ended.end({"outputs": {"output": "all"}})
    results = [(span.status, span.result) for span in recorder.spans()]
    assert results == [
        ("cancelled", {"outputs": {"output": "half"}}),
        ("complete", {"outputs": {"output": "all"}}),
    ]


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
    recorder: RecordingSink, framework: Framework
) -> None:
    """The span is cancelled and the run stays open."""
    interrupts(Paused)

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
        span = start(framework.adapter.recorders["tool"], {"early": 1})
        span.describe({"late": "2"}, framework.adapter.recorders["model"])
        span.end({"tokens": 3})
    (recorded,) = recorder.spans()
    assert (recorded.name, recorded.payload) == ("fake:model", {"late": "2"})
    assert recorded.result == {"tokens": 3}


def test_a_span_has_the_times_that_it_is_given(
    recorder: RecordingSink, framework: Framework
) -> None:
    """Of a callback that comes late."""
    with agent.run():
        start(framework.adapter.recorders["tool"], {}, started_ns=100).end(ended_ns=200)
    (span,) = recorder.spans()
    assert (span.started_ns, span.finished_ns) == (100, 200)


def test_outside_any_run_nothing_is_recorded(recorder: RecordingSink, framework: Framework) -> None:
    """And nothing breaks."""
    assert framework.run("tool", nothing) == "done"
    assert traceparent() is None
    assert recorder.runs == []


def test_a_block_ends_its_span_with_what_passes_through(
    recorder: RecordingSink, framework: Framework
) -> None:
    """For hooks that wrap a call."""

    def fail() -> None:
        with start(framework.adapter.recorders["tool"], {}):
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
        span = start(declare("fake:tool", "tool"), {}).make_current()
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
    runs: SessionTable[str] = SessionTable()
    sessions = declare_agent("fake.server:sessions", name="Sessions")
    for _ in range(2):
        context = runs.context("session", lambda: sessions.open(subject="Ada"))
        start(framework.adapter.recorders["tool"], {}, parent=context).end()
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
        outer = traceparent()
        with start(framework.adapter.recorders["tool"], {}):
            inner = traceparent()
    assert outer is not None
    assert inner is not None
    assert outer.split("-")[1] == inner.split("-")[1]
    assert [len(part) for part in inner.split("-")] == [2, 32, 16, 2]
    del recorder


def test_a_run_keeps_the_trace_that_it_was_opened_in(recorder: RecordingSink) -> None:
    """Linked, not joined."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sessions = declare_agent("fake.server:traced")
    sessions.open(traceparent=trace).exit(None)
    assert recorder.runs[0].root.payload["traceparent"] == trace


@pytest.mark.usefixtures("recorder")
def test_servers_are_told_of_adapters_outermost_first() -> None:
    """Beside the SDK itself, each once."""
    sdk = version.sdk_header()
    for name in ("remit-inner@1", "remit-outer@2", "remit-inner@1"):
        add_to_header(name)
    assert version.sdk_header() == f"remit-outer@2 remit-inner@1 {sdk}"


def test_what_an_integration_declares_at_its_import_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if a test imports it first; what is declared elsewhere ends with the test."""
    module = tmp_path / "fake_integration.py"
    module.write_text(
        "from remit._adapters.declare import add_to_header, declare, interrupts\n"
        "class Paused(Exception): ...\n"
        "interrupts(Paused)\n"
        "add_to_header('remit-imported@1')\n"
        "model = declare('imported:llm', 'llm')\n"
    )
    before = list(contributed_interrupts)
    monkeypatch.setattr(process.state, "registry", process.registry().copy())
    with isolated():
        exec(compile(module.read_text(), str(module), "exec"), {"__name__": "imported"})
        declare("fake:in_a_test", "tool")
    declared = {span_type.name for span_type in process.registry().span_types()}
    assert "imported:llm" in declared
    assert "fake:in_a_test" not in declared
    assert "remit-imported@1" in version.sdk_header()
    assert [each.__name__ for each in contributed_interrupts[len(before) :]] == ["Paused"]


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


# What else an adapter relies on


def test_an_idle_run_ends_at_the_writers_pass() -> None:
    """Without another use of the table."""
    clock = FakeClock()
    with isolated(clock=clock) as recorder:
        runs: SessionTable[str] = SessionTable(idle_s=60)
        sessions = declare_agent("fake.server:sessions")
        tool = declare("fake:tool", "tool")
        runtime = process.current()
        for key in ("a", "b"):
            start(tool, {}, parent=runs.context(key, sessions.open)).end()
        clock.advance(40)
        runs.context("b", sessions.open)
        clock.advance(40)
        runtime.tick()
        assert [run.status for run in recorder.runs] == ["complete", "active"]
        runs.context("a", sessions.open)
        assert len(recorder.runs) == 3
        clock.advance(70)
        runtime.tick()
        assert {run.status for run in recorder.runs} == {"complete"}


def test_an_idle_run_that_has_ended_is_not_held() -> None:
    """A server with many sessions would keep them all."""
    clock = FakeClock()
    with isolated(clock=clock):
        runs: SessionTable[str] = SessionTable(idle_s=60)
        sessions = declare_agent("fake.server:sessions")
        context = runs.context("a", sessions.open)
        assert context is not None
        run = weakref.ref(context.run)
        clock.advance(70)
        process.current().tick()
        runs.context("b", sessions.open)
        del context
        gc.collect()
        assert run() is None


def test_open_spans_are_cancelled_at_the_exit() -> None:
    """They belong to a run without a block, which is still active."""
    with isolated() as recorder:
        runs: SessionTable[str] = SessionTable()
        sessions = declare_agent("fake.server:sessions")
        tool = declare("fake:tool", "tool")
        start(tool, {}, parent=runs.context("session", sessions.open))
        process.current().at_exit()
        assert [span.status for span in recorder.spans()] == ["cancelled"]
        assert [run.status for run in recorder.runs] == ["failed"]


def test_a_session_that_is_idle_at_the_exit_is_complete() -> None:
    """A server that talks over its standard input ends with its client."""
    with isolated() as recorder:
        runs: SessionTable[str] = SessionTable()
        sessions = declare_agent("fake.server:sessions")
        start(tool_of(), {}, parent=runs.context("session", sessions.open)).end()
        process.current().at_exit()
        assert [run.status for run in recorder.runs] == ["complete"]


def test_an_agent_without_a_function_is_registered_with_the_steps_of_the_program() -> None:
    """Those of the module that declares it, though its own identifier names none."""
    with isolated() as recorder:
        declare_agent("fake.server.of.somebody:sessions")
        (session_agent,) = [
            each
            for each in recorder.registry.agents()
            if each.external_identifier == "fake.server.of.somebody:sessions"
        ]
        names = {each.name for each in recorder.registry.span_types_of(session_agent)}
        assert "adapters:decorated" in names


def test_a_context_is_current_in_a_block(recorder: RecordingSink) -> None:
    """For a step of a session that has a span of its own."""
    runs: SessionTable[str] = SessionTable()
    sessions = declare_agent("fake.server:sessions")
    with agent.run() as run:
        with inside(runs.context("session", sessions.open)):
            decorated(1)
        assert remit.current_run() is run
    assert recorder.runs[1].tree() == [["adapters:decorated", []]]


def test_declarations_are_others_in_a_block_of_isolated() -> None:
    """So a table of recorders knows when it is out of date."""
    outside = declarations()
    with isolated():
        inside = declarations()
        assert inside is not outside
        assert inside is declarations()
    assert declarations() is outside


def test_arguments_of_a_tool_around_a_classified_step_are_redacted(
    recorder: RecordingSink,
) -> None:
    """As its result; both are known when the tool ends."""

    @remit.span_type("adapters:vault", data_risk=remit.risk(classification="secret"))
    def vault(value: str) -> str:
        return value

    with agent.run():
        with start(tool_of(), {"tool_name": "t", "inputs": {"value": "canary"}}) as span:
            span.end({"outputs": {"output": vault("canary")}})
        with start(tool_of(), {"inputs": {"value": "canary"}}), suppress(LookupError):
            vault("canary")
            raise LookupError
    tools = recorder.spans("fake:tool")
    assert tools[0].payload["tool_name"] == "t"
    assert "canary" not in str([(span.payload, span.result) for span in tools])


def test_a_result_is_redacted_as_declared(recorder: RecordingSink) -> None:
    """The whole result."""
    tool = declare("fake:vault", "tool", data_risk=remit.risk(classification="secret"))
    with agent.run():
        start(tool, {}).end({"said": "canary"})
    assert (recorder.spans()[0].result or {}).get("rule") == "classification:secret"


def test_a_type_that_is_known_at_the_end_is_noted_like_any_other() -> None:
    """It joins the next run's registration, and what exceeds the remit is marked."""
    with isolated() as recorder:
        tool = declare("fake:tool", "tool", data_risk=PAYS_NOT)
        late = declare("other:pay", "tool", data_risk=PAYS)

        @remit.agent("Careful", data_risk=PAYS_NOT)
        def careful() -> None: ...

        with careful.run():
            span = start(tool, {})
            span.describe({}, late)
            span.end()
        (recorded,) = recorder.spans()
        assert recorded.name == "other:pay"
        assert recorded.violations
        content: Any = careful.registration()["agent_schema_version"]
    assert "other:pay" in {each["name"] for each in content["span_type_schemas"]}


def test_a_block_of_a_run_keeps_the_trace_around_it(recorder: RecordingSink) -> None:
    """It is linked as a run without a block is."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with declare_agent("fake.server:entry").block(traceparent=trace):
        pass
    assert recorder.runs[0].root.payload["traceparent"] == trace


# Which span is current


def tool_of(name: str = "fake:tool") -> Any:
    """Declare a tool."""
    return declare(name, "tool")


def parents_of(recorder: RecordingSink) -> list[tuple[Any, Any]]:
    """Return what each span is about, and what its parent is about."""

    def subject(span: RecordedSpan) -> Any:
        value = next(iter(span.payload.values()), span.name)
        return value["n"] if isinstance(value, dict) else value

    about = {span.key: subject(span) for span in recorder.spans()}
    return [(about[span.key], about.get(span.parent or "")) for span in recorder.spans()]


@pytest.mark.usefixtures("recorder")
def test_a_block_of_a_run_ends_beneath_a_current_span() -> None:
    """The block restores what was current before it, inside another run and outside."""
    table: SpanTable[int] = SpanTable()
    with agent.run() as outer:
        with agent.run():
            start(tool_of(), {}).make_current()
        assert remit.current_run() is outer
        table.start(1, tool_of(), {}, current=True)
        table.start(2, tool_of(), {}, 1, current=True)
    assert remit.current_run() is None


def test_a_block_of_a_span_ends_beneath_a_current_span(recorder: RecordingSink) -> None:
    """The block restores what was current before it, whether the span inside has ended or not."""
    with agent.run() as run:
        before = remit.current_span()
        with remit.span("block", {"n": "block"}):
            left = start(tool_of(), {"n": "left"}).make_current()
        assert remit.current_span() == before
        ended = start(tool_of(), {"n": "ended"}).make_current()
        with remit.span("block", {"n": "beneath"}):
            ended.end()
        assert remit.current_span() == before
        left.end()
        assert remit.current_run() is run
    assert parents_of(recorder)[1:3] == [("left", "block"), ("ended", None)]


def test_spans_that_end_out_of_order_do_not_become_current_again(recorder: RecordingSink) -> None:
    """The context becomes that of the nearest span that is open."""
    table: SpanTable[str] = SpanTable()
    with agent.run():
        root = current_context()
        for order in ("abc", "acb", "bac", "cab"):
            for key in "abc":
                table.start(key, tool_of(), {}, current=True)
            for key in order:
                table.end(key)
            assert current_context() is root
        outer = table.start("outer", tool_of(), {}, current=True)
        for key in "ab":
            table.start(key, tool_of(), {}, "outer", current=True)
        table.end("a")
        table.end("b")
        assert current_context() is not root
        decorated(1)
        outer.end()
        assert current_context() is root
    step = recorder.spans("adapters:decorated")[0]
    assert step.parent == recorder.spans()[-4].key


def test_a_span_that_ended_in_another_thread_is_left_by_the_next_callback(
    recorder: RecordingSink,
) -> None:
    """The next callback is the end of the same span, or the start of another."""
    table: SpanTable[int] = SpanTable()
    with agent.run():
        root = current_context()
        for key in (1, 2):
            table.start(key, tool_of(), {"n": key}, current=True)
            thread = threading.Thread(target=table.end, args=(key,))
            thread.start()
            thread.join()
        table.end(2)
        assert current_context() is root
    assert parents_of(recorder) == [(1, None), (2, None)]


def test_a_span_outlasts_the_function_that_made_it_current(recorder: RecordingSink) -> None:
    """The context of the function does not become current again."""

    @remit.span_type("adapters:callback")
    def began() -> ManualSpan:
        return start(tool_of(), {}).make_current()

    with agent.run() as run:
        with run.use():
            span = began()
            decorated(1)
            span.end()
        decorated(2)
    assert recorder.tree() == [
        [["adapters:callback", [["fake:tool", [["adapters:decorated", []]]]]],
         ["adapters:decorated", []]],
    ]  # fmt: skip


def test_a_span_that_has_ended_does_not_become_current(recorder: RecordingSink) -> None:
    """A late callback changes nothing."""
    with agent.run():
        root = current_context()
        span = start(tool_of(), {})
        span.end()
        assert span.make_current() is span
        assert current_context() is root
        with span:
            decorated(1)
    assert recorder.spans("adapters:decorated")[0].parent == recorder.runs[0].root.key


def test_a_span_is_current_in_every_context_that_makes_it_so(recorder: RecordingSink) -> None:
    """A framework carries a node to a thread, whose steps are beneath the node."""

    def work() -> None:
        with span:
            decorated(1)
        assert current_context() is None

    with agent.run():
        span = start(tool_of(), {}).make_current()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        span.end()
        decorated(2)
    tool, inner, outer = recorder.spans()
    assert (inner.parent, outer.parent) == (tool.key, recorder.runs[0].root.key)


def test_callbacks_in_tasks_of_asyncio_nest_as_the_tasks_do(recorder: RecordingSink) -> None:
    """A task has its own current span, and another task may end it."""
    table: SpanTable[str] = SpanTable()

    async def began(key: str, parent: str) -> None:
        table.start(key, tool_of(), {"n": key}, parent, current=True)

    async def ended(key: str) -> None:
        table.end(key)

    async def work(key: str) -> None:
        await began(key, "outer")
        await asyncio.sleep(0)
        decorated(1)
        await asyncio.create_task(ended(key))
        table.start(f"after {key}", tool_of(), {"n": f"after {key}"}, current=True).end()

    async def main() -> None:
        async with agent.run():
            root = current_context()
            await began("outer", "")
            await asyncio.gather(work("a"), work("b"))
            await asyncio.create_task(ended("outer"))
            table.end("outer")
            assert current_context() is root

    asyncio.run(main())
    assert sorted(parents_of(recorder), key=str) == [
        ("a", "outer"), ("after a", "outer"), ("after b", "outer"), ("b", "outer"), ("outer", None),
        (1, "a"), (1, "b"),
    ]  # fmt: skip
    assert {span.status for span in recorder.spans()} == {"complete"}


def test_a_span_inside_a_stream_is_current_in_each_step_of_the_stream(
    recorder: RecordingSink,
) -> None:
    """The consumer reads the stream in its own run, which stays current."""

    @remit.span_type("adapters:stream")
    def stream() -> Generator[int]:
        span = start(tool_of(), {"n": "model"}).make_current()
        yield decorated(1)
        yield decorated(2)
        span.end()
        yield decorated(3)

    with agent.run():
        items = stream()
        next(items)
        with agent.run() as other:
            next(items)
            next(items)
            assert remit.current_run() is other
        next(items, None)
    assert parents_of(recorder) == [
        ("adapters:stream", None), ("model", "adapters:stream"),
        (1, "model"), (2, "model"), (3, "adapters:stream"),
    ]  # fmt: skip


# Runs that end


def test_a_session_does_not_end_while_a_step_runs() -> None:
    """The idle time begins when the step has ended."""
    clock = FakeClock()
    with isolated(clock=clock) as recorder:
        sessions = declare_agent("fake.server:sessions")
        runs: SessionTable[str] = SessionTable(idle_s=60)
        span = start(tool_of(), {}, parent=runs.context("a", sessions.open))
        clock.advance(70)
        process.current().tick()
        span.end({"said": 42})
        clock.advance(40)
        process.current().tick()
        assert recorder.runs[0].status == "active"
        clock.advance(40)
        process.current().tick()
        assert [run.status for run in recorder.runs] == ["complete"]
        assert recorder.spans()[0].result == {"said": 42}


def test_a_late_callback_does_not_hold_a_run() -> None:
    """A span that starts after the block ends with the run at the latest."""
    with isolated(clock=FakeClock()) as recorder:

        @remit.span_type("adapters:stream")
        def stream() -> Generator[int]:
            yield 1

        with agent.run() as run:
            root = current_context()
            items = stream()
            next(items)
        late = start(tool_of(), {}, parent=root)
        ended = start(tool_of(), {}, parent=root)
        ended.end({"said": 1})
        items.close()
        assert run.status == "cancelled"
        late.end({"said": 2})
        assert [span.status for span in recorder.spans("fake:tool")] == ["complete", "cancelled"]


def test_a_span_of_a_run_that_is_over_is_recorded_when_it_ends(recorder: RecordingSink) -> None:
    """The span would stay active at the server if its end were never reported."""
    with agent.run():
        root = current_context()
    start(tool_of(), {"n": "no end"}, parent=root)
    late = start(tool_of(), {"n": "late"}, parent=root)
    assert recorder.spans() == []
    with late:
        decorated(1)
    assert remit.current_run() is None
    assert {span.status for span in recorder.spans()} == {"complete"}
    assert dict(parents_of(recorder)) == {"late": None, 1: "late"}


# Policy


@remit.agent("Careful", data_risk=PAYS_NOT)
def careful() -> None:
    """Hold runs in which nothing is paid."""


@pytest.mark.parametrize("settings", [{"on_violation": "deny"}, {"outside_run": "deny"}])
def test_a_step_outside_any_run_is_refused_like_a_decorated_one(settings: dict[str, Any]) -> None:
    """The call is counted and refused."""
    with isolated(**settings):
        pay = declare("fake:pay", "tool", data_risk=PAYS)
        with pytest.raises(DeniedError):
            start(pay, {})
        with pytest.raises(DeniedError):
            SpanTable[int]().start(1, pay, {})
        assert remit.status().outside_run == {"fake:pay": 2}


def test_a_step_that_can_only_be_watched_is_counted_outside_any_run() -> None:
    """It runs already, so nothing is raised."""
    with isolated(on_violation="deny", outside_run="deny"):
        pay = declare("fake:pay", "tool", data_risk=PAYS)
        start(pay, {}, deny=False).end()
        assert remit.status().outside_run == {"fake:pay": 1}


def test_a_step_beneath_an_unknown_parent_is_outside_any_run(recorder: RecordingSink) -> None:
    """None is no run, as after a fault of a session; the current run is another one."""
    with agent.run():
        assert traceparent(None) is None
        start(tool_of(), {}, parent=None).end()
    assert recorder.spans() == []
    assert remit.status().outside_run == {"fake:tool": 1}


def test_a_refusal_in_an_inner_run_is_known_outside_it() -> None:
    """The inner run is that of an agent that another agent uses as its tool."""
    with isolated(on_violation="deny"):
        pay = declare("fake:pay", "tool", data_risk=PAYS)
        tool = declare("fake:tool", "tool", data_risk=PAYS_NOT)
        inner = declare_agent("fake.server:inner")
        with careful.run():
            with (
                start(tool, {}) as outer,
                inner.block(),
                start(tool, {}) as span,
                pytest.raises(DeniedError),
            ):
                start(pay, {})
            for each in (outer, span):
                assert each.denied is not None
                assert each.denied.step == "fake:pay"
            beside = start(tool, {})
            assert beside.denied is None


def test_refusals_are_collected_in_a_task() -> None:
    """Those of its own steps, also in threads, not those of another task."""

    @remit.span_type(data_risk=PAYS)
    def pay() -> None: ...

    async def tool() -> list[str]:
        collected = collect_denials()
        with pytest.raises(DeniedError):
            await asyncio.to_thread(pay)
        return [error.step for error in collected]

    async def both() -> None:
        beside = collect_denials()
        with careful.run():
            steps = await asyncio.gather(tool(), tool())
        assert [len(each) for each in steps] == [1, 1]
        assert beside == []

    with isolated(on_violation="deny"):
        asyncio.run(both())


def test_a_refusal_is_known_when_nothing_is_recorded() -> None:
    """The policy applies in mode `off` as well."""
    with setup.isolated(Settings(mode="off", on_violation="deny")):
        pay = declare("fake:pay", "tool", data_risk=PAYS)
        tool = declare("fake:tool", "tool", data_risk=PAYS_NOT)
        table: SpanTable[int] = SpanTable()
        with careful.run():
            outer = table.start(1, tool, {})
            with (
                start(tool, {}, parent=table.context(1)) as inner,
                pytest.raises(DeniedError),
            ):
                start(pay, {})
            for span in (outer, inner):
                assert span.denied is not None
                assert span.denied.step == "fake:pay"
            table.end(1, {"said": 1})
        assert table.get(1) is None


@pytest.mark.parametrize("mode", ["observe", "deny", "terminate"])
def test_a_violation_that_is_reported_afterwards_is_marked(
    mode: OnViolation, caplog: pytest.LogCaptureFixture
) -> None:
    """The step has run, so it is marked, counted and logged, and refused in no mode."""
    with isolated(on_violation=mode) as recorder:
        pay = declare("fake:pay", "tool", data_risk=PAYS)
        tool = declare("fake:tool", "tool", data_risk=PAYS_NOT)
        with careful.run():
            start(pay, {}, deny=False).end()
            span = start(tool, {})
            span.describe({"paid": 1}, pay)
            span.describe({"paid": 2})
            span.end()
        assert [len(span.violations) for span in recorder.spans()] == [1, 1]
        payload = recorder.spans()[1].payload
        assert payload.items() >= {"paid": 2}.items()
        assert remit.status().violations == {"fake:pay": 2}
        assert recorder.runs[0].status == "complete"
    assert caplog.text.count("violates the remit") == 1
    assert "test_adapters.py" in caplog.text


@pytest.mark.parametrize("kind", ["agent", "llm", "retriever"])
def test_a_kind_without_effect_is_refused_only_for_what_it_declares(kind: Any) -> None:
    """A word that it leaves unknown is no violation."""
    with isolated(on_violation="deny") as recorder:
        with careful.run():
            start(declare("fake:unknown", kind), {}).end()
            with pytest.raises(DeniedError):
                start(declare("fake:pays", kind, data_risk=PAYS), {})
        assert [span.status for span in recorder.spans()] == ["complete", "failed"]


# Tables


@pytest.mark.usefixtures("recorder")
def test_a_table_keeps_no_span_that_its_run_has_ended() -> None:
    """Neither the table nor the span keeps the run in memory."""
    table: SpanTable[int] = SpanTable()
    with agent.run():
        context = table.start(1, tool_of(), {}).context
        assert context is not None
        run = weakref.ref(context.run)
    assert table.get(1) is None
    del context
    gc.collect()
    assert run() is None
    with agent.run():
        root = current_context()
        assert table.context(1) is root


def test_a_table_that_is_full_forgets_the_oldest(
    recorder: RecordingSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest span ends with its run, and the newest are found."""
    monkeypatch.setattr("remit._adapters.tables.MAX_OPEN", 2)
    table: SpanTable[int] = SpanTable()
    with agent.run():
        for key in range(4):
            table.start(key, tool_of(), {"n": key})
            table.alias(10 + key, key)
        for key in range(4):
            table.end(key, {"said": key})
        assert table.context(13) is current_context()
    statuses = [span.status for span in recorder.spans()]
    assert statuses == ["cancelled", "cancelled", "complete", "complete"]


def test_a_second_start_with_the_same_key_cancels_the_first(recorder: RecordingSink) -> None:
    """A framework that begins a node again has lost its end."""
    table: SpanTable[int] = SpanTable()
    with agent.run():
        root = current_context()
        first = table.start(1, tool_of(), {}, current=True)
        second = table.start(1, tool_of(), {}, current=True)
        first.end({"said": "late"})
        assert table.get(1) is second
        table.end(1, {"said": 2})
        assert current_context() is root
    assert [(span.status, span.result) for span in recorder.spans()] == [
        ("cancelled", None), ("complete", {"said": 2}),
    ]  # fmt: skip
    assert {span.parent for span in recorder.spans()} == {recorder.runs[0].root.key}


@pytest.mark.usefixtures("recorder")
def test_an_alias_leads_to_the_parent_while_that_is_open() -> None:
    """Groups may be nested, and a circle of them leads nowhere."""
    table: SpanTable[str] = SpanTable()
    with agent.run():
        root = current_context()
        span = table.start("node", tool_of(), {})
        table.alias("group", "node")
        table.alias("inner", "group")
        table.alias("one", "other")
        table.alias("other", "one")
        assert table.context("inner") is span.context
        assert table.get("inner") is None
        table.end("group")
        assert table.context("inner") is root
        assert table.context("one") is root


def test_a_generator_that_is_collected_by_remit_ends_its_span_later(
    recorder: RecordingSink,
) -> None:
    """A thread of remit may hold a lock, so the writer ends the span at its next pass."""

    def node() -> Generator[None]:
        with start(tool_of(), {}):
            yield

    with agent.run():
        steps = node()
        next(steps)
        thread = threading.Thread(target=steps.close, name="remit-writer")
        thread.start()
        thread.join()
        assert [span.status for span in recorder.spans()] == ["active"]
        process.current().tick()
        assert [span.status for span in recorder.spans()] == ["cancelled"]


def test_the_child_of_a_fork_does_not_wait_for_a_thread_of_its_parent() -> None:
    """The locks of the tables are new in the child."""
    sessions = declare_agent("fake.server:sessions")
    runs: SessionTable[str] = SessionTable()
    spans: SpanTable[str] = SpanTable()
    opening, forked = threading.Event(), threading.Event()

    def slow() -> Any:
        opening.set()
        forked.wait(60)
        return sessions.open()

    with isolated():
        thread = threading.Thread(target=runs.context, args=("a", slow))
        thread.start()
        opening.wait(60)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a fork beside threads
            child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(5)
                runs.context("b", sessions.open)
                spans.start("b", tool_of(), {})
                status = 0
            finally:
                os._exit(status)
        forked.set()
        thread.join(60)
        assert os.waitpid(child, 0)[1] == 0


# What a framework says wrongly


def test_times_of_a_framework_are_made_valid(recorder: RecordingSink) -> None:
    """A time may be a float, beyond 64 bits, or an end before its start."""
    with agent.run():
        start(tool_of(), {}, started_ns=10.5).end(ended_ns=20.9)
        start(tool_of(), {}, started_ns=-5).end(ended_ns=10**40)
        start(tool_of(), {}, started_ns=30).end(ended_ns=7)
        start(tool_of(), {}, started_ns=2**62).end()
    times = [(span.started_ns, span.finished_ns) for span in recorder.spans()]
    assert times == [(10, 20), (0, 2**63 - 1), (30, 30), (2**62, 2**62)]
    assert {type(each) for pair in times for each in pair} == {int}


@pytest.fixture
def lenient(recorder: RecordingSink, monkeypatch: pytest.MonkeyPatch) -> guard.Faults:
    """Contain faults, as in production; return their counts."""
    del recorder
    monkeypatch.setattr(guard.faults, "strict", False)
    return guard.faults


@pytest.mark.usefixtures("lenient")
def test_a_wrong_status_is_a_fault_that_leaves_the_span_open(recorder: RecordingSink) -> None:
    """The span is cancelled at the end of the block."""
    status: Any = "error"
    with agent.run():
        start(tool_of(), {}).end(status=status)
    assert [span.status for span in recorder.spans()] == ["cancelled"]
    assert remit.status().faults == {"the end of a span": 1}


@pytest.mark.usefixtures("lenient")
def test_no_fault_of_an_adapter_reaches_the_program(recorder: RecordingSink) -> None:
    """Each fault is counted, and the step of an unusable key is recorded and checked."""
    table: SpanTable[Any] = SpanTable()
    runs: SessionTable[Any] = SessionTable()
    sessions = declare_agent("fake.server:sessions")
    wrong: Any = None
    with agent.run():
        tool = tool_of()
        table.start([], tool, {"n": "unhashable"}, [], current=True)
        table.alias([], 1)
        table.end([])
        assert table.get([]) is None
        assert runs.context([], sessions.open) is None
        runs.end([])
        start(tool, wrong).end(wrong, ended_ns=wrong)
        start(tool, {}, started_ns=cast("int", "now")).end()
        start(tool, {"n": "ended"}).end(ended_ns=cast("int", "now"))
    assert [(span.payload, span.status) for span in recorder.spans()] == [
        ({"n": "unhashable"}, "cancelled"), ({}, "complete"), ({"n": "ended"}, "cancelled"),
    ]  # fmt: skip
    assert remit.current_run() is None
    assert remit.status().faults


def test_a_status_that_is_given_counts_while_an_interrupt_is_handled(
    recorder: RecordingSink,
) -> None:
    """Without a status, the interrupt cancels the span."""

    def interrupt() -> None:
        raise asyncio.CancelledError

    with agent.run():
        for status in (None, "failed", "complete"):
            span = start(tool_of(), {})
            try:
                interrupt()
            except asyncio.CancelledError:
                span.end({"said": 1}, status=cast("Any", status))
    statuses = [span.status for span in recorder.spans()]
    assert statuses == ["cancelled", "failed", "complete"]
    assert [span.result for span in recorder.spans()] == [{"said": 1}] * 3


@pytest.mark.parametrize("name", ["", None, "n" * 1001, "nul\0"])
def test_a_name_that_a_server_would_refuse_is_refused(name: Any) -> None:
    """The mistake shows at the declaration."""
    with isolated(), pytest.raises(DeclarationError):
        declare(name, "tool")


def test_a_declaration_with_a_wrong_argument_is_refused() -> None:
    """An unknown kind would be a tool."""
    wrong: Any = "messages"
    with isolated(), pytest.raises(DeclarationError, match="kind"):
        declare("fake:chat", wrong)


def test_an_interrupt_that_is_no_exception_type_is_refused() -> None:
    """No span could end with an error any more."""
    wrong: Any = KeyError("an exception, not its type")
    with isolated(), pytest.raises(DeclarationError):
        interrupts(Paused, wrong)


@pytest.mark.parametrize("name", ["näme@1", "bad\r\nX-Evil: 1", "", "two words"])
def test_an_adapter_whose_name_is_no_header_is_refused(name: str) -> None:
    """No request could be sent with the name."""
    with isolated():
        before = version.sdk_header()
        with pytest.raises(DeclarationError):
            add_to_header(name)
        assert version.sdk_header() == before


@pytest.mark.usefixtures("recorder")
def test_the_arguments_of_a_session_are_checked() -> None:
    """They are those of `run`."""
    sessions = declare_agent("fake.server:sessions")
    runs: SessionTable[str] = SessionTable()
    with pytest.raises(UsageError, match="purpose"):
        runs.context("a", lambda: sessions.open(purpose="nonsense"))


# With delivery


def test_a_span_without_announcement_is_delivered_as_it_was_described(tmp_path: Path) -> None:
    """A span that was announced keeps the type and the payload of its start."""
    settings = Settings(mode="local", data_dir=tmp_path, flush_interval_s=0.05)
    with setup.isolated(settings) as runtime:
        unknown = declare("fake:unknown", "step")
        model = declare("fake:model", "llm")
        table: SpanTable[int] = SpanTable()
        with declare_agent("fake.server:entry", span_types=("fake:",)).block():
            table.start(1, unknown, {}, announce=False)
            sent = start(declare("fake:sent", "step"), {"n": "early"})
            assert runtime.flush(60)
            sent.describe({"n": "late"}, model)
            sent.end({"tokens": 2})
            span = table.get(1)
            assert span is not None
            span.describe({"messages": ["hi"]}, model)
            table.end(1, {"tokens": 3}, ended_ns=time.time() * 1e9)
        assert runtime.flush(60)
        assert runtime.status().dropped == {}
    words = ["runs", "show", "last", "--db", str(tmp_path / "remit.db"), "--json"]
    spans = json.loads(CliRunner().invoke(main, words).stdout)["spans"]
    shown = {span["schema_name"]: span for span in spans}
    assert shown["fake:model"]["payload"] == {"messages": ["hi"]}
    assert shown["fake:model"]["result_payload"] == {"tokens": 3}
    assert shown["fake:sent"]["payload"] == {"n": "early"}
    assert shown["fake:sent"]["result_payload"] == {"tokens": 2}
    assert "fake:unknown" not in shown


# What integrations were found to need


def test_a_span_that_ended_in_another_task_is_left_by_everything(recorder: RecordingSink) -> None:
    """LangChain ends an agent's span in a task; what comes next is beside that span."""

    @remit.span_type("adapters:stream")
    def stream() -> Generator[int]:
        yield 1

    async def main() -> None:
        async with agent.run() as run:
            span = start(tool_of(), {}).make_current()
            before = remit.current_run()

            async def end() -> None:
                span.end()

            await asyncio.create_task(end())
            assert remit.current_run() is before is run
            assert remit.current_span() is not None
            decorated(1)
            list(stream())
            with remit.span("block"):
                pass
            remit.copy_context(decorated)(2)
            async with agent.run():
                decorated(3)

    asyncio.run(main())
    names = ("fake:tool", "adapters:decorated", "adapters:stream", "block", "adapters:decorated")
    assert recorder.tree() == [
        [[name, []] for name in names],
        [["adapters:decorated", []]],
    ]


def test_the_payload_is_what_the_adapter_gives(recorder: RecordingSink) -> None:
    """Fields beside `inputs` are recorded; rules by name hold, the rule of the class does not."""
    tool = declare(
        "fake:vault", "tool", params={"type": "object"},
        data_risk=remit.risk(classification="restricted"),
    )  # fmt: skip
    payload = {"tool_name": "vault", "call_id": "1", "password": "hunter2", "inputs": {"n": 1}}
    with agent.run():
        start(tool, payload).end()
    (span,) = recorder.spans()
    assert span.payload == {
        "tool_name": "vault",
        "call_id": "1",
        "password": {"$remit": "redacted", "rule": "name:password"},
        "inputs": {"$remit": "redacted", "rule": "classification:restricted"},
    }


def test_equal_declarations_are_one(recorder: RecordingSink) -> None:
    """An agent that is made for each request declares its tools each time."""
    del recorder

    def make() -> Any:
        return declare(
            "fake:search", "tool", params={"properties": {"q": {"type": "string"}}}, data_risk=PAYS
        )

    first = make()
    grown = process.registry().version
    assert all(make() is first for _ in range(100))
    assert process.registry().version == grown


def test_the_schema_of_a_tool_keeps_its_references(recorder: RecordingSink) -> None:
    """They are relative to the schema of the payload."""
    del recorder
    line = {"type": "object", "properties": {"sku": {"type": "string"}}}
    params = {
        "type": "object",
        "properties": {"line": {"$ref": "#/$defs/Line"}},
        "$defs": {"Line": line},
    }
    declare("fake:order", "tool", params=params)
    version: Any = agent.registration()["agent_schema_version"]
    (entry,) = [each for each in version["span_type_schemas"] if each["name"] == "fake:order"]
    schema = entry["params_schema"]
    assert schema["$defs"] == {"Line": line}
    assert schema["properties"]["inputs"]["properties"] == {"line": {"$ref": "#/$defs/Line"}}


def test_two_tools_of_one_name_are_declared_each(caplog: pytest.LogCaptureFixture) -> None:
    """Each has its own risk; the log names both places once."""
    with isolated(on_violation="deny"):
        pays = declare("fake:search", "tool", data_risk=PAYS, place="a.py:1")
        pays_not = declare("fake:search", "tool", data_risk=PAYS_NOT, place="b.py:2")
        grown = process.registry().version
        assert declare("fake:search", "tool", data_risk=PAYS, place="a.py:1") is pays
        assert process.registry().version == grown
        with careful.run():
            start(pays_not, {}).end()
            with pytest.raises(DeniedError):
                start(pays, {})
    (line,) = [record.getMessage() for record in caplog.records if "differently" in record.msg]
    assert "a.py:1" in line
    assert "b.py:2" in line


def test_what_is_read_of_a_framework_is_read_inside_the_guard(
    recorder: RecordingSink, lenient: guard.Faults
) -> None:
    """And only if it is recorded."""

    def broken() -> dict[str, object]:
        raise TypeError("choices: null")

    start(tool_of(), broken).end(broken)
    assert lenient.counts == {}
    with agent.run():
        start(tool_of(), broken).end(lambda: {"said": 1})
        start(tool_of(), lambda: {"n": 1}).end(broken)
    assert [(span.payload, span.status) for span in recorder.spans()] == [
        ({}, "complete"), ({"n": 1}, "complete"),
    ]  # fmt: skip
    assert recorder.spans()[0].result == {"said": 1}


@pytest.mark.parametrize("kind", ["agent", "llm", "retriever"])
@pytest.mark.parametrize("settings", [{"on_violation": "deny"}, {"outside_run": "deny"}])
def test_a_model_call_outside_any_run_is_not_refused(kind: Any, settings: dict[str, Any]) -> None:
    """It has no effect; it is counted, and said once."""
    with isolated(**settings):
        model = declare("fake:model", kind)
        for _ in range(2):
            start(model, {}).end()
        assert remit.status().outside_run == {"fake:model": 2}


def test_a_step_that_can_only_be_watched_is_marked() -> None:
    """Neither a remit nor a termination stops it, or is recorded as if it had."""
    with isolated(on_violation="deny") as recorder:
        pay = declare("fake:pay", "tool", data_risk=PAYS)
        with careful.run():
            start(pay, {}, deny=False).end()
            recorder.runs[0].feed.terminated = "stopped"
            start(pay, {}, deny=False).end()
    assert [(span.status, len(span.violations)) for span in recorder.spans()] == [
        ("complete", 1), ("complete", 1),
    ]  # fmt: skip


def test_a_decorated_function_is_found_inside_others() -> None:
    """An adapter leaves its span to it, and may ask beforehand whether it may run."""

    @remit.span_type(data_risk=PAYS)
    def pay(amount: int) -> int:
        return amount

    def bare() -> None: ...

    assert step_of(bare) is None
    assert step_of(agent) is not None
    found = step_of(partial(pay, 1))
    assert found is not None
    with isolated(on_violation="deny") as recorder, careful.run():
        with pytest.raises(DeniedError):
            permit(found, {"amount": 1})
        assert [span.status for span in recorder.spans()] == ["failed"]


def test_a_model_call_inside_a_model_call_is_one(recorder: RecordingSink) -> None:
    """The framework and the client that it calls are both watched."""
    model, client = declare("fake:llm", "llm"), declare("client:llm", "llm")
    with agent.run():
        with start(model, {}):
            start(client, {}).end()
        with start(tool_of(), {}):
            start(client, {}).end()
    assert [span.name for span in recorder.spans()] == ["fake:llm", "fake:tool", "client:llm"]


@pytest.mark.parametrize(
    ("error", "status"), [(None, "complete"), (ValueError("no"), "failed"), (Paused(), "open")]
)
def test_the_outermost_agent_of_a_framework_opens_a_run(
    recorder: RecordingSink, error: BaseException | None, status: str
) -> None:
    """It ends with the span; inside a run the agent is beneath the current span."""
    interrupts(Paused)
    runs = declare_agent("fake.agents:desk")
    step = declare("fake:agent", "agent")
    table: SpanTable[int] = SpanTable()
    table.start(1, step, {}, current=True, agent=runs)
    decorated(1)
    start(step, {}, agent=runs).end()
    table.end(1, error=error)
    assert remit.current_run() is None
    assert [run.status for run in recorder.runs] == [status]
    assert recorder.runs[0].agent == "fake.agents:desk"
    assert recorder.tree() == [[["fake:agent", [["adapters:decorated", []], ["fake:agent", []]]]]]


def test_a_run_of_a_framework_is_left_open_on_request(recorder: RecordingSink) -> None:
    """An approval is waited for."""
    runs = declare_agent("fake.agents:desk")
    span = start(declare("fake:agent", "agent"), {}, agent=runs)
    span.leave_open()
    span.end()
    assert [run.status for run in recorder.runs] == ["open"]


def test_a_run_that_was_to_be_left_open_may_end_after_all(recorder: RecordingSink) -> None:
    """The approval came before the end of its block."""
    with agent.run():
        span = start(tool_of(), {})
        span.leave_open()
        span.leave_open(leave=False)
        span.end()
    assert [run.status for run in recorder.runs] == ["complete"]


def test_an_agent_of_a_framework_has_its_own_remit() -> None:
    """It holds beneath its span, not beside it."""
    with isolated(on_violation="deny"):
        pay = declare("fake:pay", "tool", data_risk=PAYS)
        step = declare("fake:agent", "agent")
        ceiling = ceiling_of("writer", PAYS_NOT)
        with agent.run():
            with start(step, {}, ceiling=ceiling), pytest.raises(DeniedError):
                start(pay, {})
            start(pay, {}).end()


def test_a_remit_holds_in_the_rest_of_a_task() -> None:
    """For the tools of an agent whose span does not know its remit; also for those decorated."""

    @remit.span_type(data_risk=PAYS)
    def decorated_pay() -> None: ...

    async def within_a_task() -> None:
        ceiling = ceiling_of("writer", PAYS_NOT)
        before = within(ceiling)
        assert before is within(ceiling)
        with pytest.raises(DeniedError):
            decorated_pay()
        with start(step, {}), pytest.raises(DeniedError):
            start(pay, {})

    async def outer() -> None:
        with agent.run():
            with start(step, {}):
                await asyncio.create_task(within_a_task())
                start(pay, {}).end()
            decorated_pay()
        assert within(ceiling_of("writer", PAYS_NOT)) is None

    with isolated(on_violation="deny"):
        pay = declare("fake:pay", "tool", data_risk=PAYS)
        step = declare("fake:agent", "agent")
        asyncio.run(outer())


def test_a_stream_that_is_collected_on_a_thread_of_remit_keeps_its_result(
    recorder: RecordingSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer ends the span at its next pass."""
    with agent.run():
        span = start(tool_of(), {})
        with monkeypatch.context() as patched:
            patched.setattr("remit._adapters.spans.is_own_thread", lambda: True)
            patched.setattr("remit._record.runs.is_own_thread", lambda: True)
            span.end({"said": "so far"}, status="cancelled")
            assert recorder.spans()[0].status == "active"
        process.current().tick()
        (recorded,) = recorder.spans()
        assert (recorded.status, recorded.result) == ("cancelled", {"said": "so far"})


# Redaction follows the run

MESSAGES = [
    {"role": "user", "content": "canary-question"},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "1", "name": "patient", "args": {"who": "canary-name"}},
        {"id": "2", "name": "weather", "args": {"town": "Ulm"}},
    ]},
    {"role": "tool", "tool_call_id": "1", "content": "canary-diagnosis"},
]  # fmt: skip


def test_what_a_classified_tool_redacts_stays_out_of_later_steps(recorder: RecordingSink) -> None:
    """Of models, agents and retrievers; roles, names, ids, counts and tokens stay."""

    @remit.span_type("desk:patient", data_risk=remit.risk(classification="restricted"))
    def patient(who: str) -> str:
        return f"canary {who}"

    model, step = declare("fake:llm", "llm"), declare("fake:agent", "agent")
    wrapper = declare("fake:tool:ask", "tool")
    payload = {"model_name": "m", "inputs": {"model": "m", "messages": MESSAGES}}
    answer = {"messages": [MESSAGES[1]]}
    tokens = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    with agent.run(), start(step, {"inputs": "canary-free"}) as outer:
        start(model, payload).end({"outputs": answer, "token_usage": tokens})
        tool = start(wrapper, {"tool_name": "ask", "inputs": {"town": "Ulm"}})
        with tool:
            start(tool_of(), {}).end({"outputs": {"output": "open"}})
            patient("canary-name")
            tool.end({"outputs": {"output": "canary-diagnosis"}})
        start(model, payload).end({"outputs": answer, "token_usage": tokens})
        outer.end({"outputs": {"output": "canary-answer"}})

    before, asked, after = (
        recorder.spans("fake:llm")[0],
        recorder.spans("fake:tool:ask")[0],
        recorder.spans("fake:llm")[1],
    )
    marker = {"$remit": "redacted", "rule": "classification:restricted"}
    calls = before.payload["inputs"]["messages"][1]["tool_calls"]
    assert [call["args"] for call in calls] == [marker, {"town": "Ulm"}]
    assert before.payload["inputs"]["messages"][0]["content"] == "canary-question"
    assert asked.result == {"outputs": {"output": marker}}
    assert after.result == {
        "outputs": {"messages": [{"role": "assistant", "content": None, "tool_calls": [
            {"id": "1", "name": "patient", "args": marker},
            {"id": "2", "name": "weather", "args": marker},
        ]}]},
        "token_usage": tokens,
    }  # fmt: skip
    messages = after.payload["inputs"]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert "canary" not in json.dumps([after.payload, recorder.spans("fake:agent")[0].result])
    assert recorder.spans("fake:tool")[0].result == {"outputs": {"output": "open"}}


def test_the_arguments_of_a_tool_are_redacted_with_its_result(recorder: RecordingSink) -> None:
    """A step inside it redacted what it was given, also where the payload is known at the end."""

    @remit.span_type("desk:patient", data_risk=remit.risk(classification="restricted"))
    def patient(who: str) -> str:
        return who

    ask = declare("fake:tool:ask", "tool")
    payload = {"tool_name": "ask", "call_id": "1", "inputs": {"who": "canary"}}
    with agent.run():
        for announce in (True, False):
            with start(ask, payload, announce=announce) as tool:
                patient("canary")
                tool.describe(payload)
                tool.end({"outputs": {"output": "canary"}})
    marker = {"$remit": "redacted", "rule": "classification:restricted"}
    for span in recorder.spans("fake:tool:ask"):
        kept = {"tool_name": "ask", "call_id": "1"}
        assert span.payload == {**kept, "inputs": marker}
        assert span.result == {"outputs": {"output": marker}}


def test_the_kind_of_a_declaration_is_known() -> None:
    """Of a step of an adapter; a decorated one is a step."""
    declared = {"llm": declare("fake:llm", "llm"), "step": step_of(agent)}
    for kind, step in declared.items():
        assert step is not None
        assert step.declared is not None
        assert step.declared.step_kind == kind


def test_a_registration_names_the_kind_of_a_step_without_an_effect() -> None:
    """The policy treats it in another way; the entries of all other steps have no such key."""
    with isolated():
        agent = remit.agent("Registered")(lambda: None)
        steps: tuple[StepKind, ...] = get_args(StepKind)
        for kind in steps:
            declare(f"kinds:{kind}", kind)
            declare(f"kinds:{kind}-typed", kind, params=int)
        content: Any = agent.registration()["agent_schema_version"]
    kinds = {
        entry["name"].removeprefix("kinds:"): entry["params_schema"].get("x-remit-kind")
        for entry in content["span_type_schemas"]
        if entry["name"].startswith("kinds:")
    }
    without = {"agent", "llm", "retriever"}
    assert kinds == {
        f"{kind}{suffix}": kind if kind in without else None
        for kind in steps
        for suffix in ("", "-typed")
    }


def test_a_key_that_is_found_by_its_shape_redacts_nothing_else(recorder: RecordingSink) -> None:
    """Nor does a step of a run beside it."""
    model = declare("fake:llm", "llm")
    vault = declare("fake:vault", "tool", data_risk=remit.risk(classification="secret"))
    with agent.run():
        start(vault, {}).end({"outputs": {"output": "canary"}})
    with agent.run():
        start(model, {"inputs": {"api_key": "sk-123", "text": "hello"}}).end()
        start(model, {"inputs": {"text": "hello"}}).end()
    texts = [span.payload["inputs"]["text"] for span in recorder.spans("fake:llm")]
    assert texts == ["hello", "hello"]


@pytest.mark.parametrize("again", [1, 2])
def test_what_an_adapter_gives_is_redacted_at_each_level(
    recorder: RecordingSink, again: int
) -> None:
    """Also when all names in it are known, and plain values take a shorter way."""
    key = "sk-proj-" + "Zx9" * 20
    inputs = {
        "plain": [{"deep": [1, 2.5, None, True, "text"]}],
        "nested": [{"password": "canary"}],
        "labelled": [{"name": "api_key", "value": "canary"}],
        "text": f"the key is {key}",
    }
    step = declare("fake:tool", "tool")
    with agent.run():
        for _ in range(again):
            start(step, {"tool_name": "t", "inputs": {"plain": 1}}).end()
            span = start(step, {"tool_name": "t", "api_token": "canary", "inputs": inputs})
            span.end({"outputs": inputs})
    recorded = recorder.spans()[-1]
    for each in (recorded.payload["inputs"], (recorded.result or {})["outputs"]):
        assert each["plain"] == inputs["plain"]
        assert "canary" not in str(each)
        assert key not in str(each)
    assert "canary" not in str(recorded.payload)


# What integrations add to a span that has started


def test_a_span_that_steps_aside_stays_open(recorder: RecordingSink) -> None:
    """What follows is beside it, as between the items of a stream."""
    step = declare("fake:stream", "llm")
    with agent.run():
        with start(step, {}) as span:
            decorated(1)
            span.make_previous_current()
            decorated(2)
            span.make_previous_current()  # it is not current
            assert span.is_open
        decorated(3)
    inside, beside, after = recorder.spans("adapters:decorated")
    root = recorder.runs[0].root.key
    assert (inside.parent, beside.parent, after.parent) == (
        recorder.spans("fake:stream")[0].key,
        root,
        root,
    )


def test_a_span_that_is_narrowed_refuses_what_begins_beneath_it() -> None:
    """Another handler knows of the agent's remit after the span began."""
    step = declare("fake:narrowed", "agent")
    tool = declare("fake:tool:spend", "tool", data_risk=PAYS)
    ceiling = ceiling_of("inner", PAYS_NOT)
    with isolated(on_violation="deny") as recorder:
        with agent.run(), start(step, {}) as span:
            start(tool, {}).end()
            span.narrow(None)
            start(tool, {}).end()
            span.narrow(ceiling)
            span.narrow(ceiling)
            with pytest.raises(DeniedError) as denied:
                start(tool, {})
            with pytest.raises(DeniedError):
                start(tool, {}, parent=span.context)
            span.end()
            start(tool, {}).end()
        statuses = [each.status for each in recorder.spans("fake:tool:spend")]
    assert len(denied.value.violations) == 1
    assert statuses == ["complete", "complete", "failed", "failed", "complete"]


def test_a_run_that_was_left_open_may_be_ended_after_all(recorder: RecordingSink) -> None:
    """A graph that was interrupted goes on inside the block."""
    step = declare("fake:paused", "agent")
    with agent.run():
        with start(step, {}) as span:
            span.leave_open()
        with start(step, {}) as span:
            span.leave_open(leave=False)
    assert recorder.runs[0].status == "complete"


def test_a_permitted_step_is_counted_by_its_own_call() -> None:
    """Not twice, if it exceeds a remit and runs."""
    tool = declare("fake:tool:permitted", "tool", data_risk=PAYS)
    step = declare("fake:careful", "agent")
    with isolated() as recorder:
        options = {"ceiling": ceiling_of("inner", PAYS_NOT)}
        with agent.run(), start(step, {}, **cast("Any", options)):
            permit(tool)
            assert remit.status().violations == {}
            start(tool, {}).end()
            assert remit.status().violations == {"fake:tool:permitted": 1}
            recorder.runs[0].feed.terminated = "stopped"
            with pytest.raises(RunTerminated):
                permit(tool)


def test_arguments_are_redacted_by_the_name_that_a_model_uses(recorder: RecordingSink) -> None:
    """It is the name of the step or of its function, or one that the adapter notes."""

    @remit.span_type("adapters:card", data_risk=remit.risk(classification="restricted"))
    def record(who: str) -> str:
        return who

    model, by_function, by_name = (
        declare("fake:llm", "llm"),
        declare("fake:tool:record", "tool"),
        declare("fake:tool:patient_card", "tool"),
    )
    step = step_of(record)
    assert step is not None
    name_tool(step, "patient_card")
    calls = [
        {"name": name, "args": {"who": "canary"}}
        for name in ("record", "card", "patient_card", "other")
    ]
    with agent.run():
        start(model, {"inputs": {"messages": [{"tool_calls": calls}]}}).end()
        start(by_function, {"inputs": {"who": "canary"}}).end()
        start(by_name, {"inputs": {"who": "canary"}}).end()
    payload = recorder.spans("fake:llm")[0].payload
    marker = {"$remit": "redacted", "rule": "classification:restricted"}
    recorded = [each["args"] for each in payload["inputs"]["messages"][0]["tool_calls"]]
    assert recorded == [marker, marker, marker, {"who": "canary"}]
    for name in ("fake:tool:record", "fake:tool:patient_card"):
        assert recorder.spans(name)[0].payload == {"inputs": marker}


HOSTILE_NAME = "fake:pay\nremit: every check passed\x1b[2K\u202e\u2028"


def test_a_name_writes_no_line_into_the_log(
    recorder: RecordingSink, caplog: pytest.LogCaptureFixture
) -> None:
    """A server chooses the names of its tools; handlers of the program get one line of text."""
    tool = declare(HOSTILE_NAME, "tool", data_risk=PAYS)

    @remit.agent("Careful", data_risk=PAYS_NOT)
    def careful() -> None:
        start(tool, {}).end()

    lines = StringIO()
    handler = logging.StreamHandler(lines)
    logging.getLogger().addHandler(handler)
    try:
        careful()
    finally:
        logging.getLogger().removeHandler(handler)
    (line,) = lines.getvalue().splitlines()
    assert line.isprintable()
    assert r"fake:pay\nremit: every check passed\x1b[2K\u202e\u2028 (" in line
    (record,) = [each for each in caplog.records if "violates the remit" in each.getMessage()]
    assert record.getMessage() == line
    assert recorder.spans(HOSTILE_NAME)
