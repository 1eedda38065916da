"""The first declarations of an agent that declares nothing: code made from the tools that ran."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from remit._base.step_names import ADAPTERS
from remit.collector.page.agents.subjects import Subject
from remit.collector.page.declared import TOOL

MOST_TOOLS: Final = 3
"""Number of tools in the code; the others follow in the same way."""
_APPLY: Final[Mapping[str, str]] = {
    "claude-agent-sdk": "query = govern(query, risks=RISKS)",
    "crewai": "RemitListener(risks=RISKS)",
    "google-adk": "plugins = [RemitPlugin(risks=RISKS)]",
    "langchain": "agent = create_agent(model, tools, middleware=[RemitTools(tools, risks=RISKS)])",
    "mcp": "govern(client, server, risks=RISKS)",
    "openai-agents": "agent = govern(agent, risks=RISKS)",
    "otel": "provider.add_span_processor(Bridge(risks=RISKS))",
    "pydantic-ai": "agent = Agent(model, tools=tools, capabilities=[Remit(risks=RISKS)])",
}
"""The line that passes risk declarations of tools to an integration."""


class Line(NamedTuple):
    """A line of code: before and after the words to fill in, and a comment.

    Attributes:
        is_open: Whether words are filled in between.
    """

    before: str
    after: str = ""
    comment: str = ""
    is_open: bool = False


class Tool(NamedTuple):
    """A tool or a decorated step that ran."""

    adapter: str
    name: str
    times: int


def code_of(subject: Subject) -> list[Line]:
    """Return the code that declares the tools that ran most, at most four lines; empty without one.

    The tools of the integration that ran most come first. Decorated steps are used if no
    integration recorded a tool.
    """
    tools = sorted(_tools(subject), key=lambda tool: (-tool.times, tool.name))
    of_adapter = next((tool.adapter for tool in tools if tool.adapter in _APPLY), None)
    if of_adapter is not None:
        return _of_integration(of_adapter, [one for one in tools if one.adapter == of_adapter])
    lines: list[Line] = []
    for tool in tools[: MOST_TOOLS - 1]:
        lines += [
            Line("@remit.span_type(data_risk=remit.risk(allows=", "))", _ran(tool), is_open=True),
            Line(f"def {tool.name}(...): ..."),
        ]
    return lines


def _tools(subject: Subject) -> list[Tool]:
    """Return the tools and the decorated steps, without agents, model calls and the like."""
    tools: list[Tool] = []
    for type_name in subject.counts:
        adapter, tool, name = type_name.partition(TOOL)
        times = subject.ran(type_name)
        own = subject.declared.own
        if tool and adapter in ADAPTERS:
            tools.append(Tool(adapter, name, times))
        elif type_name.partition(":")[0] not in ADAPTERS and (own is None or own.name != type_name):
            function = type_name.rpartition(":")[2].rpartition(".")[2]
            if function.isidentifier():
                tools.append(Tool("", function, times))
    return tools


def _of_integration(adapter: str, tools: list[Tool]) -> list[Line]:
    shown = tools[:MOST_TOOLS]
    width = max(len(_key(tool)) for tool in shown)
    lines: list[Line] = []
    for number, tool in enumerate(shown):
        start = "RISKS = {" if number == 0 else " " * len("RISKS = {")
        end = ")}" if tool is shown[-1] else "),"
        key = _key(tool).ljust(width)
        lines.append(Line(f"{start}{key} remit.risk(allows=", end, _ran(tool), is_open=True))
    return [*lines, Line(_APPLY[adapter])]


def _key(tool: Tool) -> str:
    return f"{json.dumps(tool.name, ensure_ascii=False)}:"


def _ran(tool: Tool) -> str:
    return f"ran {tool.times:,} {'time' if tool.times == 1 else 'times'}"
