"""Tools of MCP, in a client and in a server that talk in memory."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeVar

import pytest
from mcp import Client, MCPError, UrlElicitationRequiredError
from mcp.server import MCPServer
from mcp.server.connection import Connection
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension
from mcp.server.mcpserver import Context, Elicit, Image, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import (
    CallToolRequestParams,
    ElicitRequestURLParams,
    ElicitResult,
    TextContent,
    ToolAnnotations,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span
from pydantic import BaseModel

import remit
from remit.errors import DeclarationError, DeniedError, RunTerminated
from remit.integrations.mcp import Recorded, govern
from remit.models.data_risk import DataRisk
from remit.testing import FakeClock, RecordingSink, isolated
from tests.inside import process, registration, traceparent
from tests.scenarios import (
    CANARY,
    PAYS,
    PAYS_NOT,
    Ran,
    Scenario,
    Tool,
    Turn,
    ask_to_pay,
    careful,
    check,
    desk,
    each_scenario_of,
    find,
    look_up,
    pay,
    spend,
)

T = TypeVar("T")

TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MINE: Final[Any] = {"mine": 1}
TRACED: Final[Any] = {"traceparent": TRACE}
RESTRICTED: Final = remit.risk(classification="restricted")


@remit.span_type("desk:restricted", data_risk=RESTRICTED)
def restricted(order_id: str) -> str:
    """Return a diagnosis."""
    return f"{CANARY} {order_id}"


@remit.span_type("desk:decorated_that_pays", data_risk=PAYS_NOT)
def decorated_that_pays(amount: int) -> str:
    """Pay through a step beneath."""
    return pay(amount)


@remit.span_type("desk:approve")
def approve() -> bool:
    """Be a step in a callback of a client."""
    return True


async def find_later(order_id: str) -> str:
    """Look an order up while others do."""
    await asyncio.sleep(0)
    return find(order_id)


def text_of(result: Any) -> str:
    """Return the text of an answer."""
    return "".join(block.text for block in result.content if isinstance(block, TextContent))


@remit.span_type("mcp:llm", data_risk=PAYS_NOT)
def think(number: int, on_model_call: Callable[[int], object] | None) -> None:
    """Be the model of a hand-written loop."""
    if on_model_call is not None:
        on_model_call(number)


@dataclass
class HandWritten:
    """A loop over a scripted model, whose tools are those of an MCP server in this process."""

    prefix: str = "mcp"
    tool_prefix: str = "mcp:tool:orders:"
    has_agent: bool = False
    has_tools: bool = True
    lacks: Mapping[str, str] = field(
        default_factory=lambda: {
            "payload": "MCP has no model",
            "streaming": "MCP has no model",
            "outside_any_run": "MCP has no model, nor agents in clients",
            "results_are_the_same": "MCP has no model",
            "refused_decorated": "a client does not see the functions of the server",
            "limited_decorated": "a client does not see the functions of the server",
        }
    )

    async def run(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Tool],
        *,
        risks: Mapping[str, DataRisk] | None = None,
        stream: bool = False,
        on_model_call: Callable[[int], object] | None = None,
    ) -> Ran:
        """Run the loop."""
        del stream
        server = MCPServer("orders")
        for tool in tools:
            server.add_tool(tool)
        async with Client(server) as client:
            governed = govern(client, "orders", risks=risks)
            await governed.list_tools()
            ran = await outcome(self._loop(governed, turns, on_model_call))
        if isinstance(ran, BaseException):  # the SDK would put it into an exception group
            raise ran
        return ran

    async def _loop(
        self,
        client: Client,
        turns: Sequence[Turn],
        on_model_call: Callable[[int], object] | None,
    ) -> Ran:
        ran = Ran("")
        for number, turn in enumerate(turns):
            think(number, on_model_call)
            ran.model_calls += 1
            calls = (client.call_tool(name, arguments) for name, arguments in turn.calls)
            ran.read += [text_of(result) for result in await asyncio.gather(*calls)]
            ran.answer = turn.text or ""
        return ran


async def outcome(awaitable: Awaitable[T]) -> T | BaseException:
    """Return what *awaitable* returns or raises."""
    try:
        return await awaitable
    except BaseException as error:  # noqa: BLE001 - raised by the caller
        return error


DRIVER: Final = HandWritten()


@each_scenario_of(DRIVER)
def test_scenario(scenario: Scenario) -> None:
    """Each scenario that applies to a client."""
    check(scenario, DRIVER)


# Clients


class Shop:
    """A server in this process, with what its tools were called with."""

    def __init__(self, recorded: Recorded | None = None) -> None:
        """Make the server."""
        self.calls: list[tuple[str, object]] = []
        self.metas: list[dict[str, Any]] = []
        server: MCPServer[Any] = MCPServer("orders", extensions=[recorded] if recorded else [])
        self.server = server if recorded is None else recorded.of(server)
        self.server.add_tool(self.look_up, annotations=ToolAnnotations(read_only_hint=True))
        self.server.add_tool(self.refund)
        self.server.add_tool(self.fail)

    def look_up(self, order_id: str, ctx: Context) -> dict[str, str]:
        """Look an order up."""
        self.calls.append(("look_up", order_id))
        self.metas.append(dict(ctx.request_context.meta or {}))
        return {"id": order_id, "state": "shipped"}

    def refund(self, order_id: str, amount: int) -> str:
        """Pay an amount back."""
        self.calls.append(("refund", amount))
        return f"{amount} for {order_id}"

    def fail(self) -> str:
        """Fail."""
        raise ToolError("out of order")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine."""
    return asyncio.run(coroutine)


@asynccontextmanager
async def connected(shop: Shop, mode: str = "auto", **arguments: Any) -> AsyncGenerator[Client]:
    """Connect a governed client."""
    async with Client(shop.server, mode=mode) as client:
        assert govern(client, "orders", **arguments) is client
        yield client


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_call_of_a_client_is_a_span_and_carries_its_trace(mode: str) -> None:
    """Results are those of the client without remit."""

    async def scenario() -> None:
        shop = Shop()
        async with Client(shop.server, mode=mode) as bare:
            expected = await bare.call_tool("look_up", {"order_id": "A-1"}, meta=MINE)
        async with connected(shop, mode) as client, desk.run():
            outer = traceparent() or ""
            result = await client.call_tool("look_up", {"order_id": "A-1"}, meta=MINE)
        assert result.model_dump(exclude={"meta"}) == expected.model_dump(exclude={"meta"})
        (span,) = recorder.spans("mcp:tool:orders:look_up")
        assert span.parent == recorder.runs[0].root.key
        assert span.payload == {"tool_name": "look_up", "inputs": {"order_id": "A-1"}}
        assert span.result == {"outputs": {"output": {"id": "A-1", "state": "shipped"}}}
        without, sent = shop.metas
        assert "traceparent" not in without
        assert sent["mine"] == 1
        assert sent["traceparent"].split("-")[1] == outer.split("-")[1]
        assert sent["traceparent"] != outer

    with isolated() as recorder:
        run(scenario())


def test_a_trace_that_the_user_sends_is_kept() -> None:
    """The user may have a reason."""

    async def scenario() -> None:
        shop = Shop()
        async with connected(shop) as client, desk.run():
            await client.call_tool("look_up", {"order_id": "A"}, meta=TRACED)
        assert shop.metas[0]["traceparent"] == TRACE

    with isolated():
        run(scenario())


def test_a_refused_call_is_not_sent() -> None:
    """The answer tells the model why; other calls go on."""

    async def scenario() -> None:
        shop = Shop()
        async with connected(shop, risks={"refund": PAYS, "look_up": PAYS_NOT}) as client:
            await client.list_tools()
            async with careful.run():
                refused = await client.call_tool("refund", {"order_id": "A", "amount": 5})
                await client.call_tool("look_up", {"order_id": "A"})
                unknown = await client.call_tool("fail")
        assert refused.is_error
        assert text_of(refused).startswith("Policy denied this step and it did not run")
        assert "may involve an action that this agent may not take" in text_of(unknown)
        assert shop.calls == [("look_up", "A")]
        statuses = [span.status for span in recorder.spans()]
        assert statuses == ["failed", "complete", "failed"]
        assert recorder.runs[0].status == "complete"

    with isolated(on_violation="deny") as recorder:
        run(scenario())


def test_a_terminated_run_calls_no_tool() -> None:
    """`RunTerminated` is raised where the tool was called."""

    async def ask_in_a_terminated_run(client: Client) -> None:
        async with desk.run():
            recorder.runs[0].feed.terminated = "stopped"
            await client.call_tool("look_up", {"order_id": "A"})

    async def scenario() -> None:
        shop = Shop()
        async with connected(shop) as client:
            ended = await outcome(ask_in_a_terminated_run(client))
            assert isinstance(ended, RunTerminated)
            await client.call_tool("look_up", {"order_id": "B"})
        assert shop.calls == [("look_up", "B")]
        assert recorder.spans() == []

    with isolated() as recorder:
        run(scenario())


HINTS: Final = [
    (None, False, {}),
    (ToolAnnotations(title="T"), True, {}),
    (ToolAnnotations(read_only_hint=True), False, {}),
    (
        ToolAnnotations(read_only_hint=True),
        True,
        {
            "read_data": "allowed", "create_data": "disallowed", "update_data": "disallowed",
            "destroy_data": "disallowed", "financial_transactions": "disallowed",
        },
    ),
    (
        ToolAnnotations(read_only_hint=False),
        False,
        {"update_data": "allowed", "destroy_data": "allowed"},
    ),
    (
        ToolAnnotations(read_only_hint=False, destructive_hint=False),
        False,
        {"update_data": "allowed"},
    ),
    (
        ToolAnnotations(read_only_hint=False, destructive_hint=False),
        True,
        {"update_data": "allowed", "destroy_data": "disallowed"},
    ),
    (ToolAnnotations(destructive_hint=True), False, {"destroy_data": "allowed"}),
    (ToolAnnotations(open_world_hint=True), False, {"external_communication": "allowed"}),
    (ToolAnnotations(open_world_hint=False), False, {}),
    (ToolAnnotations(open_world_hint=False), True, {"external_communication": "disallowed"}),
]  # fmt: skip


def declared_risk(name: str) -> dict[str, str]:
    """Return the words of a registered tool that are not unknown."""
    content: Any = desk.registration()["agent_schema_version"]
    entries = content["span_type_schemas"]
    (entry,) = [each for each in entries if each["name"] == name]
    actions = (entry.get("data_risk") or {}).get("action_profile", {})
    return {action: word for action, word in actions.items() if word != "unknown"}


@pytest.mark.parametrize(("hints", "trusted", "expected"), HINTS)
def test_hints_are_data_risk(
    hints: ToolAnnotations | None, *, trusted: bool, expected: dict[str, str]
) -> None:
    """A hint that lowers the risk counts from a trusted server only."""

    async def scenario() -> None:
        server: MCPServer[Any] = MCPServer("orders")
        server.add_tool(look_up, annotations=hints)
        async with Client(server) as client:
            await govern(client, "orders", trusted=trusted).list_tools()
        assert declared_risk("mcp:tool:orders:look_up") == expected

    with isolated():
        run(scenario())


def test_a_declared_risk_replaces_the_hints() -> None:
    """The user knows better."""

    async def scenario() -> None:
        async with connected(Shop(), trusted=True, risks={"look_up": PAYS}) as client:
            await client.list_tools()
        assert declared_risk("mcp:tool:orders:look_up") == {"financial_transactions": "allowed"}

    with isolated():
        run(scenario())


def test_listed_tools_are_registered_with_their_schema() -> None:
    """The version is the same for each client."""

    async def scenario() -> None:
        versions: list[Any] = []
        for _ in range(2):
            async with connected(Shop()) as client:
                await client.call_tool("refund", {"order_id": "A", "amount": 5})
                await client.list_tools()
            versions.append(desk.registration()["agent_schema_version"])
        assert versions[0]["external_identifier"] == versions[1]["external_identifier"]
        entries = {each["name"]: each for each in versions[0]["span_type_schemas"]}
        entry = entries["mcp:tool:orders:refund"]
        assert entry["params_schema"]["properties"]["inputs"]["required"] == ["order_id", "amount"]
        assert entry["description"] == "Pay an amount back."

    with isolated():
        run(scenario())


def test_a_client_that_is_governed_twice_is_recorded_once() -> None:
    """The later arguments count; a client and its session are one as well."""

    async def scenario() -> None:
        shop = Shop()
        async with Client(shop.server) as client, desk.run():
            govern(govern(client, "earlier"), "orders")
            govern(client.session, "session")
            await client.call_tool("look_up", {"order_id": "A"})
            await client.session.call_tool("look_up", {"order_id": "B"})
        assert [span.name for span in recorder.spans()] == [
            "mcp:tool:orders:look_up",
            "mcp:tool:session:look_up",
        ]
        assert len(shop.calls) == 2

    with isolated() as recorder:
        run(scenario())


def test_calls_outside_any_run_are_counted() -> None:
    """They are neither recorded nor changed."""

    async def scenario() -> None:
        shop = Shop()
        async with connected(shop) as client:
            await client.call_tool("look_up", {"order_id": "A"})
        assert "traceparent" not in shop.metas[0]
        assert remit.status().outside_run["mcp:tool:orders:look_up"] == 1
        assert recorder.runs == []

    with isolated() as recorder:
        run(scenario())


def test_a_name_that_a_model_made_up_is_not_declared() -> None:
    """Once the tools are listed; its risk is unknown, unless the user declares it."""

    async def scenario() -> None:
        async with connected(Shop()) as client, desk.run():
            await client.call_tool("early")
            await client.list_tools()
            unknown = await client.call_tool("made_up")
        assert text_of(unknown) == "Unknown tool: made_up"
        assert recorder.tree() == [[["mcp:tool:orders:early", []], ["mcp:tool:orders", []]]]
        assert recorder.spans()[1].payload == {"tool_name": "made_up", "inputs": {}}

    with isolated() as recorder:
        run(scenario())


def test_contents_of_a_result() -> None:
    """Media are recorded by type, size and digest."""

    async def several() -> list[Any]:
        """Return a text and an image."""
        return ["a text", Image(data=b"pixels", format="png")]

    async def nothing() -> None:
        """Return nothing."""

    async def scenario() -> None:
        server: MCPServer[Any] = MCPServer("orders")
        server.add_tool(several, structured_output=False)
        server.add_tool(nothing, structured_output=False)
        async with Client(server) as client, desk.run():
            govern(client, "orders")
            await client.call_tool("several")
            await client.call_tool("nothing")
        media, empty = [(span.result or {})["outputs"]["output"] for span in recorder.spans()]
        assert media[0] == "a text"
        assert (media[1]["type"], media[1]["size"]) == ("image/png", 8)
        assert empty == []

    with isolated() as recorder:
        run(scenario())


def test_errors_of_a_server_are_the_same() -> None:
    """A tool that fails is a failed span with its text; an error of the protocol is raised."""

    def wait_for_consent() -> str:
        """Ask the user to open a page."""
        page = ElicitRequestURLParams(message="m", url="https://example.com", elicitation_id="e")
        raise UrlElicitationRequiredError([page])

    def broken() -> str:
        """Break the protocol."""
        raise MCPError(code=-32000, message="gone")

    async def scenario() -> None:
        shop = Shop()
        shop.server.add_tool(wait_for_consent)
        shop.server.add_tool(broken)
        async with connected(shop) as client, desk.run():
            failed = await client.call_tool("fail")
            assert text_of(failed) == "Error executing tool fail: out of order"
            with pytest.raises(MCPError, match="gone"):
                await client.call_tool("broken")
            with pytest.raises(MCPError, match="required"):
                await client.call_tool("wait_for_consent")
        spans = {span.name.rpartition(":")[2]: span for span in recorder.spans()}
        assert spans["fail"].status == "failed"
        assert (spans["fail"].result or {})["outputs"]["output"] == text_of(failed)
        assert spans["broken"].status == "failed"
        assert spans["wait_for_consent"].status == "cancelled"

    with isolated() as recorder:
        run(scenario())


class Consent(BaseModel):
    """What a tool asks for."""

    ok: bool


def ask_for_consent() -> Elicit[Consent]:
    """Ask."""
    return Elicit("ok?", Consent)


Agreed = Annotated[Consent, Resolve(ask_for_consent)]


def test_input_that_a_tool_needs_cancels_its_span() -> None:
    """The session returns the questions; a client asks, and its call is one span."""

    def pay_out(amount: int, consent: Agreed) -> str:
        """Pay, with consent."""
        return f"{amount}: {consent.ok}"

    async def answer(context: object, params: object) -> ElicitResult:
        """Answer for the user."""
        del context, params
        return ElicitResult(action="accept", content={"ok": approve()})

    async def scenario() -> None:
        server: MCPServer[Any] = MCPServer("orders")
        server.add_tool(pay_out)
        async with Client(server, elicitation_callback=answer) as client, desk.run():
            govern(client, "orders")
            govern(client.session, "session")
            result = await client.call_tool("pay_out", {"amount": 5})
            await client.session.call_tool("pay_out", {"amount": 5}, allow_input_required=True)
        assert text_of(result) == "5: True"
        call, callback, paused = recorder.spans()
        assert [call.status, callback.status, paused.status] == [
            "complete",
            "complete",
            "cancelled",
        ]
        assert callback.parent == call.key

    with isolated() as recorder:
        run(scenario())


# Servers


def trace(number: int) -> str:
    """Return the header of one client's run."""
    return f"00-{number:032x}-b7ad6b7169203331-01"


def sent(number: int) -> Any:
    """Return `_meta` of a call in one client's run."""
    return {"traceparent": trace(number)}


MODES: Final = pytest.mark.parametrize("mode", ["auto", "legacy"])


@MODES
def test_each_trace_of_clients_has_a_run(mode: str) -> None:
    """It is linked with the client's, and its spans are the tools."""

    async def scenario() -> None:
        shop = Shop(Recorded("orders"))
        async with Client(shop.server, mode=mode) as client:
            bare = await client.call_tool("look_up", {"order_id": "A"}, meta=sent(1))
            await client.call_tool("refund", {"order_id": "B", "amount": 1}, meta=sent(2))
            await client.call_tool("refund", {"order_id": "A", "amount": 2}, meta=sent(1))
        assert json.loads(text_of(bare)) == {"id": "A", "state": "shipped"}
        first, second = recorder.runs
        assert [each.agent for each in recorder.runs] == ["mcp.agents:orders"] * 2
        assert first.root.payload["traceparent"] == trace(1)
        assert second.root.payload["traceparent"] == trace(2)
        assert recorder.tree() == [
            [["mcp:tool:look_up", []], ["mcp:tool:refund", []]],
            [["mcp:tool:refund", []]],
        ]
        look_up = recorder.spans("mcp:tool:look_up")[0]
        assert look_up.payload == {"tool_name": "look_up", "inputs": {"order_id": "A"}}
        assert look_up.result == {"outputs": {"output": {"id": "A", "state": "shipped"}}}

    with isolated() as recorder:
        run(scenario())


@MODES
def test_a_terminated_run_is_answered_and_the_server_goes_on(mode: str) -> None:
    """So do its other runs, on the same connection."""

    async def scenario() -> None:
        shop = Shop(Recorded("orders"))
        async with Client(shop.server, mode=mode) as client:
            for number in (1, 2):
                await client.call_tool("look_up", {"order_id": "A"}, meta=sent(number))
            recorder.runs[0].feed.terminated = "stopped"
            for _ in range(2):
                ended = await client.call_tool("look_up", {"order_id": "B"}, meta=sent(1))
                assert ended.is_error
                assert "session was ended" in text_of(ended)
            other = await client.call_tool("look_up", {"order_id": "C"}, meta=sent(2))
            new = await client.call_tool("look_up", {"order_id": "D"}, meta=sent(3))
            assert not other.is_error
            assert not new.is_error
            assert (await client.list_tools()).tools
        assert [order for _, order in shop.calls] == ["A", "A", "C", "D"]
        statuses = [each.status for each in recorder.runs]
        assert statuses == ["failed", "active", "active"]

    with isolated() as recorder:
        run(scenario())


@MODES
def test_a_run_that_is_terminated_beneath_a_tool_is_answered(mode: str) -> None:
    """The step does not run, in a thread or in the server's task."""

    def stop() -> str:
        """Stop the run."""
        recorder.runs[-1].feed.terminated = "stopped"
        return find("A")

    async def astop() -> str:
        """Stop the run."""
        return stop()

    async def scenario() -> None:
        shop = Shop(Recorded("orders"))
        shop.server.add_tool(stop)
        shop.server.add_tool(astop)
        async with Client(shop.server, mode=mode) as client:
            for number, name in enumerate(("stop", "astop"), 1):
                ended = await client.call_tool(name, meta=sent(number))
                assert "session was ended" in text_of(ended)
                again = await client.call_tool("look_up", {"order_id": "B"}, meta=sent(number))
                assert "session was ended" in text_of(again)
            other = await client.call_tool("look_up", {"order_id": "C"}, meta=sent(3))
            assert not other.is_error
        assert [each.status for each in recorder.runs] == ["failed", "failed", "active"]
        assert recorder.spans("desk:find") == []

    with isolated() as recorder:
        run(scenario())


def test_a_run_of_a_tool_that_is_terminated_does_not_end_the_session() -> None:
    """It is answered, and the next call is another one."""

    def delegate() -> str:
        """Open a run that is terminated."""
        with desk.run():
            recorder.runs[-1].feed.terminated = "stopped"
            return find("A")

    async def scenario() -> None:
        shop = Shop(Recorded("orders"))
        shop.server.add_tool(delegate)
        async with Client(shop.server) as client:
            ended = await client.call_tool("delegate", meta=sent(1))
            assert ended.is_error
            other = await client.call_tool("look_up", {"order_id": "C"}, meta=sent(1))
            assert not other.is_error

    with isolated() as recorder:
        run(scenario())


def test_a_connection_without_a_trace_has_a_run() -> None:
    """It ends with the connection; a revision without sessions has a run for each call."""

    async def scenario() -> None:
        shop = Shop(Recorded("orders"))
        for mode, header in (("legacy", None), ("legacy", "00-malformed-01"), ("auto", None)):
            async with Client(shop.server, mode=mode) as client:
                for _ in range(2):
                    meta: Any = header and {"traceparent": header}
                    await client.call_tool("look_up", {"order_id": "A"}, meta=meta)
        assert [each.status for each in recorder.runs] == ["complete"] * 4
        assert [len(tree) for tree in recorder.tree()] == [2, 2, 1, 1]
        assert not [each for each in recorder.runs if "traceparent" in each.root.payload]

    with isolated() as recorder:
        run(scenario())


def test_an_idle_run_ends() -> None:
    """A trace has no end that the server sees."""

    async def scenario() -> None:
        shop = Shop(Recorded("orders", idle_s=60))
        async with Client(shop.server) as client:
            for _ in range(2):
                await client.call_tool("look_up", {"order_id": "A"}, meta=sent(1))
                clock.advance(70)
                process.current().tick()
        assert [each.status for each in recorder.runs] == ["complete", "complete"]

    clock = FakeClock()
    with isolated(clock=clock) as recorder:
        run(scenario())


@pytest.mark.parametrize(
    ("tool", "risks", "step"),
    [
        (spend, {"spend": PAYS}, "mcp:tool:spend"),
        (spend, None, "mcp:tool:spend"),
        (pay, None, "desk:pay"),
        (pay, {"pay": PAYS}, "mcp:tool:pay"),
        (ask_to_pay, {"ask_to_pay": PAYS_NOT}, "desk:pay"),
        (decorated_that_pays, None, "desk:pay"),
    ],
)
def test_a_refused_call_of_a_server(tool: Tool, risks: Any, step: str) -> None:
    """The client reads why; the run goes on."""

    async def scenario() -> None:
        recorded = Recorded("orders", data_risk=PAYS_NOT, risks=risks)
        shop = Shop(recorded)
        shop.server.add_tool(tool)
        async with Client(shop.server) as client:
            refused = await client.call_tool(tool.__name__, {"amount": 5}, meta=sent(1))
            assert refused.is_error
            assert text_of(refused).startswith("Policy denied this step and it did not run")
            await client.call_tool("look_up", {"order_id": "A"}, meta=sent(1))
        assert shop.calls == [("look_up", "A")]
        (span,) = recorder.spans(step)
        assert span.status == "failed"

    with isolated(on_violation="deny") as recorder:
        run(scenario())


@MODES
def test_a_limit_of_one_payment_admits_one_of_two_in_each_run(mode: str) -> None:
    """The client reads why the second one does not run; the registration has the limit."""

    async def scenario() -> None:
        limits = remit.limits(financial_transactions=1)
        shop = Shop(Recorded("orders", limits=limits, risks={"refund": PAYS, "look_up": PAYS_NOT}))
        shop.server.add_tool(pay)
        async with Client(shop.server, mode=mode) as client:
            for number in (1, 2):
                arguments = {"order_id": "A", "amount": number}
                await client.call_tool("refund", arguments, meta=sent(number))
                for tool in ("refund", "pay"):
                    beyond = await client.call_tool(
                        tool, arguments if tool == "refund" else {"amount": 9}, meta=sent(number)
                    )
                    assert beyond.is_error
                    assert "limit of this run for financial transactions" in text_of(beyond)
                await client.call_tool("look_up", {"order_id": "A"}, meta=sent(number))
        assert shop.calls == [("refund", 1), ("look_up", "A"), ("refund", 2), ("look_up", "A")]
        assert [span.denied for span in recorder.spans("desk:pay")] == [True, True]
        (entry,) = [
            each
            for each in registered(recorder)["agent_schema_version"]["span_type_schemas"]
            if each["name"] == "mcp.agents:orders"
        ]
        assert entry["params_schema"]["x-remit-limits"] == {"financial_transactions": 1}

    with isolated(on_violation="deny") as recorder:
        run(scenario())


def test_a_refusal_that_a_tool_handles_is_its_own_affair() -> None:
    """Its answer is sent."""

    def careful_tool(amount: int) -> str:
        """Pay or not."""
        try:
            return pay(amount)
        except DeniedError:
            return "not paid"

    async def scenario() -> None:
        shop = Shop(Recorded("orders", data_risk=PAYS_NOT, risks={"careful_tool": PAYS_NOT}))
        shop.server.add_tool(careful_tool)
        async with Client(shop.server) as client:
            answer = await client.call_tool("careful_tool", {"amount": 5}, meta=sent(1))
        assert text_of(answer) == "not paid"

    with isolated(on_violation="deny"):
        run(scenario())


def test_a_decorated_tool_has_one_span() -> None:
    """Its own, which takes part in the run."""

    async def scenario() -> None:
        shop = Shop(Recorded("orders"))
        shop.server.add_tool(find)
        async with Client(shop.server) as client:
            answer = await client.call_tool("find", {"order_id": "A-1"}, meta=sent(1))
        assert text_of(answer) == "A-1 is shipped"
        (span,) = recorder.spans()
        assert span.name == "desk:find"
        assert span.parent == recorder.runs[0].root.key
        assert span.payload == {"order_id": "A-1"}
        assert remit.current_run() is None

    with isolated() as recorder:
        run(scenario())


def test_a_restricted_step_in_a_tool_is_nowhere_in_the_record() -> None:
    """On neither side: the client declares that the tool is restricted."""

    def patient(order_id: str) -> str:
        """Look a patient up."""
        return restricted(order_id)

    async def scenario() -> None:
        shop = Shop(Recorded("orders"))
        shop.server.add_tool(patient)
        async with connected(shop, risks={"patient": RESTRICTED}) as client, desk.run():
            result = await client.call_tool("patient", {"order_id": CANARY})
        assert CANARY in text_of(result)
        assert len(recorder.spans()) == 3
        assert CANARY not in str([(span.payload, span.result) for span in recorder.spans()])

    with isolated() as recorder:
        run(scenario())


def registered(recorder: RecordingSink) -> Any:
    """Return the registration of the server."""
    agents = {each.external_identifier: each for each in recorder.registry.agents()}
    return registration(agents["mcp.agents:orders"], recorder.registry)


def test_a_server_is_registered_with_its_tools() -> None:
    """Also with the program's steps, in each block of `isolated`, and with one version."""

    async def versions() -> list[Any]:
        found: list[Any] = []
        async with Client(shop.server) as client:
            for number in (1, 2):
                await client.call_tool("look_up", {"order_id": "A"}, meta=sent(number))
                found.append(registered(recorder))
        return found

    shop = Shop(Recorded("orders"))
    for _ in range(2):
        with isolated() as recorder:
            first, second = run(versions())
        assert first == second
        entries = {
            each["name"]: each for each in first["agent_schema_version"]["span_type_schemas"]
        }
        assert {"mcp:tool:look_up", "mcp:tool:refund", "mcp:tool:fail", "desk:find"} <= set(entries)
        assert entries["mcp:tool:look_up"]["data_risk"]["action_profile"]["read_data"] == "allowed"


def test_a_name_that_no_tool_has_is_not_declared() -> None:
    """It comes from outside; a server that is not kept declares a bounded number."""

    async def scenario() -> None:
        shop = Shop(Recorded("orders"))
        loose = Recorded("loose")
        server: MCPServer[Any] = MCPServer("loose", extensions=[loose])
        server.add_tool(look_up)
        async with Client(shop.server) as client, Client(server) as other:
            unknown = await client.call_tool("nonesuch", meta=sent(1))
            await other.call_tool("look_up", {"order_id": "A"}, meta=sent(1))
            await other.call_tool("x" * 2000, meta=sent(1))
        assert text_of(unknown) == "Unknown tool: nonesuch"
        statuses = {span.name: span.status for span in recorder.spans()}
        assert statuses == {
            "mcp:tool": "failed",
            "mcp:tool:look_up": "complete",
            "desk:find": "complete",
        }

    with isolated() as recorder:
        run(scenario())


def test_a_tool_that_is_added_later_is_declared() -> None:
    """Before its first call."""

    async def scenario() -> None:
        shop = Shop(Recorded("orders"))
        async with Client(shop.server) as client:
            await client.call_tool("look_up", {"order_id": "A"}, meta=sent(1))
            shop.server.add_tool(look_up, name="later")
            await client.call_tool("later", {"order_id": "A"}, meta=sent(1))
        assert recorder.tree() == [
            [["mcp:tool:look_up", []], ["mcp:tool:later", [["desk:find", []]]]],
        ]

    with isolated() as recorder:
        run(scenario())


class Raw(Extension):
    """Answers as some servers do, without the models of the SDK."""

    identifier = "tests/raw"

    async def intercept_tool_call(
        self,
        params: CallToolRequestParams,
        ctx: ServerRequestContext[Any, Any],
        call_next: CallNext,
    ) -> HandlerResult:
        """Answer with a mapping."""
        del ctx, call_next
        text = f"no {params.name}"
        return {
            "content": [{"type": "text", "text": text}],
            "structuredContent": {"result": text},
            "isError": params.name == "fail",
            "resultType": "complete",
        }


def test_an_answer_of_another_shape() -> None:
    """It is passed on, and recorded."""

    async def scenario() -> None:
        recorded = Recorded("orders")
        server: MCPServer[Any] = MCPServer("orders", extensions=[recorded, Raw()])
        recorded.of(server).add_tool(look_up)
        async with Client(server) as client:
            first = await client.call_tool("look_up", {"order_id": "A"}, meta=sent(1))
            second = await client.call_tool("fail", meta=sent(1))
        assert [text_of(first), text_of(second)] == ["no look_up", "no fail"]
        assert [first.is_error, second.is_error] == [False, True]
        spans = recorder.spans()
        assert [span.status for span in spans] == ["complete", "failed"]
        assert (spans[0].result or {})["outputs"] == {"output": "no look_up"}

    with isolated() as recorder:
        run(scenario())


def test_a_trace_of_opentelemetry_does_not_hide_the_run() -> None:
    """The SDK writes the trace of OpenTelemetry over `traceparent`."""

    async def scenario() -> None:
        shop = Shop(Recorded("orders"))
        other = SpanContext(5, 7, is_remote=False, trace_flags=TraceFlags(1))
        async with connected(shop, "legacy") as client, desk.run():
            with use_span(NonRecordingSpan(other)):
                await client.call_tool("look_up", {"order_id": "A"})
            outer = traceparent() or ""
        assert int(shop.metas[0]["traceparent"].split("-")[1], 16) == 5
        linked = recorder.runs[1].root.payload["traceparent"]
        assert linked.split("-")[1] == outer.split("-")[1]

    with isolated() as recorder:
        run(scenario())


@MODES
def test_twenty_runs_at_once_do_not_mix(mode: str) -> None:
    """Client and server are in one process, and each run is its own."""

    async def scenario() -> None:
        shop = Shop(Recorded("orders"))
        shop.server.add_tool(find_later)

        async def one(client: Client, number: int) -> None:
            async with desk.run():
                result = await client.call_tool("find_later", {"order_id": f"A-{number}"})
            assert text_of(result) == f"A-{number} is shipped"

        async with connected(shop, mode) as client:
            await asyncio.gather(*(one(client, number) for number in range(20)))
        assert len(recorder.runs) == 40
        linked = [each for each in recorder.runs if "traceparent" in each.root.payload]
        assert len({each.root.payload["traceparent"] for each in linked}) == 20
        for name in ("mcp:tool:orders:find_later", "mcp:tool:find_later", "desk:find"):
            assert len(recorder.spans(name)) == 20
        servers = {span.key for span in recorder.spans("mcp:tool:find_later")}
        assert servers == {span.parent for span in recorder.spans("desk:find")}

    with isolated() as recorder:
        run(scenario())


# Bad input


def refuses(text: str, act: Callable[[], object]) -> None:
    """Check that something is refused with a text."""
    with pytest.raises(DeclarationError) as caught:
        act()
    assert text in str(caught.value)


def test_wrong_arguments() -> None:
    """The message says what was seen and what is expected."""
    anything: Any = object()
    client: Any = Client(Shop().server)
    wrong: Any = ["refund"]
    refuses("saw an object of type object; expected a Client", lambda: govern(anything, "orders"))
    refuses(
        "server is an object of type object; expected a string", lambda: govern(client, anything)
    )
    refuses("server is ''", lambda: govern(client, ""))
    refuses("server is", lambda: Recorded("a\0b"))
    refuses("server is", lambda: Recorded("a" * 300))
    refuses("risks is an object of type list", lambda: govern(client, "orders", risks=wrong))
    refuses("risks['refund']", lambda: govern(client, "orders", risks={"refund": anything}))
    refuses("data_risk", lambda: Recorded("orders", data_risk=anything))
    refuses("limits is of type object", lambda: Recorded("orders", limits=anything))
    refuses("expected an MCPServer", lambda: Recorded("orders").of(anything))
    recorded = Recorded("orders")
    server: MCPServer[Any] = MCPServer("orders", extensions=[recorded])
    assert recorded.of(recorded.of(server)) is server
    refuses("one Recorded for each", lambda: recorded.of(MCPServer("other", extensions=[recorded])))


def test_risks_of_a_tool_that_a_client_does_not_find() -> None:
    """Listing says so, until the server had them all once; a call does not."""

    async def scenario() -> None:
        shop = Shop()
        async with connected(shop, risks={"refnd": PAYS}) as client:
            await client.call_tool("refund", {"order_id": "A", "amount": 5})
            with pytest.raises(DeclarationError, match=r"'refnd' \(did you mean 'refund'\?\)"):
                await client.list_tools()
            shop.server.add_tool(look_up, name="refnd")
            await client.list_tools(cache_mode="refresh")
            shop.server.remove_tool("refnd")
            await client.list_tools(cache_mode="refresh")

    with isolated():
        run(scenario())


def test_risks_of_a_tool_that_a_server_does_not_have() -> None:
    """Each call fails, because a tool may run that its author thinks is declared."""

    async def scenario() -> None:
        shop = Shop(Recorded("orders", risks={"refnd": PAYS}))
        async with Client(shop.server, mode="legacy") as client:
            with pytest.raises(MCPError, match="'refnd'"):
                await client.call_tool("look_up", {"order_id": "A"}, meta=sent(1))
            shop.server.add_tool(look_up, name="refnd")
            await client.call_tool("look_up", {"order_id": "A"}, meta=sent(1))
        assert len(shop.calls) == 1

    with isolated():
        run(scenario())


# Conversations


@pytest.mark.parametrize("meta", [None, sent(1)], ids=["connection", "trace"])
def test_a_session_is_a_conversation_by_its_hash(meta: Any) -> None:
    """A server may accept the id as a credential, so it is not recorded."""
    session_id = "a-session-of-a-client"

    async def scenario() -> None:
        shop = Shop(Recorded("orders"))
        async with Client(shop.server, mode="legacy") as client:
            await client.call_tool("look_up", {"order_id": "A"}, meta=meta)

    def with_session(made: Connection, *args: Any, **options: Any) -> None:
        make(made, *args, **{**options, "session_id": session_id})

    make = Connection.__init__
    with pytest.MonkeyPatch.context() as patch, isolated() as recorder:
        patch.setattr(Connection, "__init__", with_session)
        run(scenario())
    digest = hashlib.sha256(session_id.encode()).hexdigest()[:32]
    assert [each.conversation for each in recorder.runs] == [f"mcp-{digest}"]
    assert session_id not in str(recorder.runs[0].root.payload)
