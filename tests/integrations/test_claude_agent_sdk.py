"""The Claude Agent SDK, with Claude Code replaced by a process that speaks its protocol."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast

from claude_agent_sdk import (
    ClaudeAgentOptions,
    Message,
    Transport,
    create_sdk_mcp_server,
    query,
    tool,
)

from remit.integrations.claude_agent_sdk import govern
from remit.models.data_risk import DataRisk
from tests import scenarios
from tests.claude_code import Play, Process
from tests.scenarios import Ran, Scenario, Tool, Turn

SERVER: Final = "mcp__desk__"
"""Beginning of the names of the tools of a program."""
JSON_TYPES: Final = {"str": "string", "int": "integer"}


def transport(play: Play) -> Transport:
    """Return a process in which *play* is played."""
    return cast("Transport", Process(play))


def server(*tools: Tool) -> dict[str, Any]:
    """Return servers with functions as tools of the SDK."""
    return {"desk": create_sdk_mcp_server("desk", tools=[as_tool(each) for each in tools])}


def as_tool(function: Tool) -> Any:
    """Return a function as a tool of the SDK."""

    @functools.wraps(function)
    async def call(arguments: dict[str, Any]) -> dict[str, Any]:
        result = function(**arguments)
        if inspect.isawaitable(result):
            result = await result
        text = result if isinstance(result, str) else json.dumps(result)
        return {"content": [{"type": "text", "text": text}]}

    parameters = inspect.signature(function).parameters.values()
    properties = {each.name: {"type": JSON_TYPES[str(each.annotation)]} for each in parameters}
    schema = {"type": "object", "properties": properties, "required": [*properties]}
    return tool(function.__name__, inspect.getdoc(function) or "", schema)(call)


def played(turns: Sequence[Turn], **fields: Any) -> Play:
    """Return a play of the turns of a scenario."""
    return Play([{"text": turn.text, "calls": turn.calls} for turn in turns], **fields)


class ClaudeDriver:
    """Asks Claude Code."""

    prefix = "claude-agent-sdk"
    tool_prefix = f"claude-agent-sdk:tool:{SERVER}"
    has_agent = True
    has_tools = True
    lacks: Mapping[str, str] = MappingProxyType({})

    async def run(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Tool],
        *,
        risks: Mapping[str, DataRisk] | None = None,
        stream: bool = False,
        on_model_call: Callable[[int], object] | None = None,
    ) -> Ran:
        """Ask once, and read the answer to its end."""
        del stream  # answers are always streamed
        named = [
            Turn(turn.text, tuple((SERVER + name, arguments) for name, arguments in turn.calls))
            for turn in turns
        ]
        play = played(named, on_model_call=on_model_call, has_partial_messages=True)
        options = ClaudeAgentOptions(mcp_servers=server(*tools), include_partial_messages=True)
        ask = govern(query, risks={SERVER + name: risk for name, risk in (risks or {}).items()})
        answer = ""
        async for message in ask(
            prompt="Where is A-1?", options=options, transport=transport(play)
        ):
            answer = getattr(message, "result", None) or answer
        return Ran(answer, play.read, play.model_calls)


DRIVER: Final = ClaudeDriver()


@scenarios.each_scenario_of(DRIVER)
def test_scenario(scenario: Scenario) -> None:
    """Each cell of the table."""
    scenarios.check(scenario, DRIVER)
