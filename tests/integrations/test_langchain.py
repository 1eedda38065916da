"""LangChain and LangGraph: the shared scenarios, and what only they have."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, interrupt

import remit
from remit.errors import DeclarationError, DeniedError, RunTerminated
from remit.integrations.langchain import RemitHandler, RemitTools
from remit.models.data_risk import DataRisk
from remit.testing import isolated
from tests.inside import process
from tests.scenarios import (
    CANARY,
    DONE,
    LOOK_UP,
    PAYS,
    PAYS_NOT,
    TOLD,
    Driver,
    Ran,
    Scenario,
    Tool,
    Turn,
    careful,
    check,
    desk,
    each_scenario_of,
    fail,
    find,
    look_up,
    pay,
    spans_of,
    spend,
)

pytestmark = pytest.mark.python

QUESTION: Final = {"messages": [("user", "Where is order A-1?")]}
USAGE: Final = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}


class Scripted(BaseChatModel):
    """A chat model that answers what a test scripts."""

    turns: Sequence[Any]
    on_call: Callable[[int], object] | None = None
    model_name: str = "scripted-1"
    calls: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Any:  # noqa: ANN401 - of LangChain
        return self.bind(tools=[{"name": each.name, "description": "x"} for each in tools])

    def _next(self) -> AIMessage:
        number = self.calls
        self.calls += 1
        if self.on_call is not None:
            self.on_call(number)
        turn = self.turns[number]
        if isinstance(turn, AIMessage):
            return turn
        calls = [
            {"id": f"call-{number}-{at}", "name": name, "args": args, "type": "tool_call"}
            for at, (name, args) in enumerate(turn.calls)
        ]
        return AIMessage(
            turn.text or "",
            tool_calls=calls,
            usage_metadata=cast("Any", USAGE),
            response_metadata={"finish_reason": "tool_calls" if calls else "stop"},
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: object = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next())])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: object = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._next()
        for word in str(answer.content).split(" ") if answer.content else ():
            space = "" if str(answer.content).startswith(word) else " "
            yield ChatGenerationChunk(message=AIMessageChunk(space + word))
        chunk = AIMessageChunk(
            "", tool_calls=answer.tool_calls, usage_metadata=answer.usage_metadata
        )
        yield ChatGenerationChunk(message=chunk)


def own_graph(model: BaseChatModel, tools: Sequence[Any], governed: RemitTools | None) -> Any:  # noqa: ANN401 - of LangGraph
    """Return the graph of an agent, as programs that do not use `create_agent` have it."""
    bound = model.bind_tools(tools)

    async def think(state: MessagesState) -> dict[str, object]:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    wrappers: dict[str, Any] = {}
    if governed is not None:
        wrappers = {
            "wrap_tool_call": governed.wrap_tool_call,
            "awrap_tool_call": governed.awrap_tool_call,
        }
    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode(tools, **wrappers))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")
    return graph.compile()


class AgentDriver:
    """Runs agents that `create_agent` makes."""

    prefix = "langchain"
    has_agent = True
    has_tools = True

    def __init__(self, kind: str, lacks: Mapping[str, str]) -> None:
        """Run `async`, `sync`, or a `graph` of one's own."""
        self.kind: Final = kind
        self.lacks = lacks

    async def run(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Tool],
        *,
        risks: Mapping[str, DataRisk] | None = None,
        stream: bool = False,
        on_model_call: Callable[[int], object] | None = None,
    ) -> Ran:
        """Run an agent."""
        model = Scripted(turns=turns, on_call=on_model_call)
        converted = [tool(each) for each in tools]
        governed = RemitTools(tools, risks)
        config: RunnableConfig = {"callbacks": [RemitHandler()]}
        if self.kind == "graph":
            agent = own_graph(model, converted, governed)
        else:
            agent = create_agent(model, converted, middleware=[governed])
        if stream and self.kind == "sync":
            *_, (_, state) = agent.stream(
                cast("Any", QUESTION), config, stream_mode=["messages", "values"]
            )
        elif stream:
            modes = ["messages", "values"]
            state = [
                each async for _, each in agent.astream(QUESTION, config, stream_mode=modes)
            ][-1]
        elif self.kind == "sync":
            state = agent.invoke(cast("Any", QUESTION), config)
        else:
            state = await agent.ainvoke(QUESTION, config)
        messages = state["messages"]
        read = [str(each.content) for each in messages if isinstance(each, ToolMessage)]
        return Ran(str(messages[-1].content), read, model.calls)


ASYNC: Final[Driver] = AgentDriver("async", {})
SYNC: Final[Driver] = AgentDriver("sync", {"cancelled": "nothing cancels a thread"})
GRAPH: Final[Driver] = AgentDriver("graph", {"nesting": "nodes have spans in between"})


@each_scenario_of(ASYNC)
def test_an_agent(scenario: Scenario) -> None:
    check(scenario, ASYNC)


@each_scenario_of(SYNC)
def test_an_agent_that_is_not_asynchronous(scenario: Scenario) -> None:
    check(scenario, SYNC)


@each_scenario_of(GRAPH)
def test_a_graph_of_ones_own(scenario: Scenario) -> None:
    check(scenario, GRAPH)
