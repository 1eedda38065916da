"""MCP tools of agents that ask a person: the approver is asked, and awaited."""

from __future__ import annotations

import asyncio
from typing import Any

from mcp import Client
from mcp.server import MCPServer

import remit
from remit.integrations.mcp import Recorded, govern
from remit.testing import isolated
from tests.integrations.test_mcp import text_of
from tests.refunding import WHY, decide, decide_now
from tests.subtests import each

PAYS = remit.risk(allows="financial_transactions", forbids="others")
ASKS = remit.risk(allows="read_data", asks="others")
PAID: list[int] = []


@remit.agent(data_risk=ASKS)
def desk() -> None:
    """Ask about payments."""


def refund(euros: int) -> str:
    """Pay money back."""
    PAID.append(euros)
    return f"paid {euros}"


@remit.span_type("mcp-asks:decorated", data_risk=PAYS)
async def decorated(euros: int) -> str:
    """Pay money back."""
    return refund(euros)


@remit.span_type("mcp-asks:plain_step", data_risk=PAYS)
def plain_step(euros: int) -> str:
    """Pay money back."""
    return refund(euros)


APPROVERS = {"awaited": decide, "in a thread": decide_now}


@each("how", list(APPROVERS))
def test_a_client_asks_before_it_sends_a_call(how: str) -> None:
    """A no is the answer to the call."""
    PAID.clear()

    async def work() -> list[str]:
        server = MCPServer("shop")
        server.add_tool(refund)
        async with Client(server) as client, desk.run():
            governed = govern(client, "shop", risks={"refund": PAYS})
            return [
                text_of(await governed.call_tool("refund", {"euros": euros}))
                for euros in (40, 9999)
            ]

    with isolated(on_violation="deny", approver=APPROVERS[how]) as recorder:
        paid, refused = asyncio.run(work())
    assert (paid, PAID) == ("paid 40", [40])
    assert WHY in refused
    answers = [span.payload for span in recorder.spans("remit:answered")]
    assert [(each["decision"], each["by"]) for each in answers] == [
        ("approved", "dana"),
        ("refused", "dana"),
    ]


@each(
    ("tool", "how"),
    [(tool, how) for tool in ("refund", "decorated") for how in APPROVERS],
)
def test_a_server_asks_before_it_calls_a_tool(tool: str, how: str) -> None:
    """A no is the answer to the call."""
    PAID.clear()
    tools: dict[str, Any] = {"refund": refund, "decorated": decorated}

    async def work() -> list[str]:
        risks = {"refund": PAYS} if tool == "refund" else None
        recorded = Recorded("shop", data_risk=ASKS, risks=risks)
        server = recorded.of(MCPServer("shop", extensions=[recorded]))
        server.add_tool(tools[tool])
        async with Client(server) as client:
            return [text_of(await client.call_tool(tool, {"euros": euros})) for euros in (40, 9999)]

    with isolated(on_violation="deny", approver=APPROVERS[how]) as recorder:
        paid, refused = asyncio.run(work())
    assert (paid, PAID) == ("paid 40", [40])
    assert WHY in refused
    assert len(recorder.asked("financial_transactions")) == 2


def test_a_server_asks_about_a_plain_step_in_its_thread() -> None:
    """The SDK calls the function of such a tool in a thread, where an approver can be awaited."""
    PAID.clear()

    async def work() -> str:
        recorded = Recorded("shop", data_risk=ASKS)
        server = recorded.of(MCPServer("shop", extensions=[recorded]))
        server.add_tool(plain_step)
        async with Client(server) as client:
            return text_of(await client.call_tool("plain_step", {"euros": 40}))

    with isolated(on_violation="deny", approver=decide):
        assert asyncio.run(work()) == "paid 40"
    assert PAID == [40]
