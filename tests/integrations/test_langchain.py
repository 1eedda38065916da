"""LangChain and LangGraph: the shared scenarios, and what only they have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from typing import Any, Final, TypeAlias, cast

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, HumanInTheLoopMiddleware
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel, FakeListLLM
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnablePassthrough
from langchain_core.tools import BaseTool, StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, interrupt

import remit
from remit.errors import DeclarationError, DeniedError
from remit.integrations.langchain import RemitHandler, RemitTools
from remit.models.data_risk import DataRisk
from remit.testing import FakeClock, RecordedSpan, RecordingSink, isolated
from tests.inside import NAMED_TYPES, Faults, counting, process, step_name
from tests.nesting import recording
from tests.processes import wait_until
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
    spend,
)

Anything: TypeAlias = Any
"""What LangChain does not give a type."""
QUESTION: Final[Anything] = {"messages": [("user", "Where is order A-1?")]}
USAGE: Final = {
    "input_tokens": 11,
    "output_tokens": 7,
    "total_tokens": 18,
    "input_token_details": {"cache_read": 3, "cache_creation": 2},
    "output_token_details": {"reasoning": 4},
}


class Scripted(BaseChatModel):
    """A chat model that answers what a test scripts."""

    turns: Sequence[Any]
    on_call: Callable[[int], object] | None = None
    model_name: str = "scripted-1"
    calls: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **_: Anything) -> Anything:
        """Return the model with the tools."""
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

    def _generate(self, *_: object, **__: object) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next())])

    def _stream(self, *_: object, **__: object) -> Iterator[ChatGenerationChunk]:
        answer = self._next()
        for word in str(answer.content).split(" ") if answer.content else ():
            space = "" if str(answer.content).startswith(word) else " "
            yield ChatGenerationChunk(message=AIMessageChunk(content=space + word))
        chunk = AIMessageChunk(
            content="", tool_calls=answer.tool_calls, usage_metadata=answer.usage_metadata
        )
        yield ChatGenerationChunk(message=chunk)


def own_graph(model: BaseChatModel, tools: Sequence[Any], governed: RemitTools | None) -> Anything:
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
        agent: Anything = (
            own_graph(model, converted, governed)
            if self.kind == "graph"
            else create_agent(model, converted, middleware=[governed])
        )
        if stream and self.kind == "sync":
            *_, (_, state) = agent.stream(QUESTION, config, stream_mode=["messages", "values"])
        elif stream:
            modes = ["messages", "values"]
            state = [each async for _, each in agent.astream(QUESTION, config, stream_mode=modes)][
                -1
            ]
        elif self.kind == "sync":
            state = agent.invoke(QUESTION, config)
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
    """Made by `create_agent` and awaited."""
    check(scenario, ASYNC)


@each_scenario_of(SYNC)
def test_an_agent_that_is_not_asynchronous(scenario: Scenario) -> None:
    """Made by `create_agent` and invoked."""
    check(scenario, SYNC)


@each_scenario_of(GRAPH)
def test_a_graph_of_ones_own(scenario: Scenario) -> None:
    """With a `ToolNode` that has the methods of `RemitTools`."""
    check(scenario, GRAPH)


def agent_of(*turns: Anything, tools: Sequence[Any] = (look_up,), **options: Anything) -> Anything:
    """Return an agent of LangChain over scripted answers, governed by `RemitTools`."""
    risks = options.pop("risks", None)
    middleware = [*options.pop("middleware", ()), RemitTools(tools, risks)]
    return create_agent(Scripted(turns=turns), tools, middleware=middleware, **options)


def handled(*handlers: RemitHandler, thread: str = "1") -> RunnableConfig:
    """Return the configuration of a call."""
    return {"callbacks": list(handlers or [RemitHandler()]), "configurable": {"thread_id": thread}}


def invoke(how: str, agent: Anything, value: object) -> Anything:
    """Call an agent, `sync` or `async`."""
    if how == "sync":
        return agent.invoke(value, handled())
    return asyncio.run(agent.ainvoke(value, handled()))


def parents(recorder: Anything, name: str) -> list[str]:
    """Return the names of the spans around each span of a type."""
    names = {span.key: span.name for span in recorder.spans()}
    return [names.get(span.parent, "run") for span in recorder.spans(name)]


# Nesting


def test_a_step_after_an_agent_has_the_parent_that_it_has_without() -> None:
    """The ended agent is not current, although LangChain ended it in a separate task."""

    async def steps(*, governed: bool) -> list[str]:
        with isolated() as recorder:
            async with desk.run() as run:
                with remit.span("desk:outer"):
                    if governed:
                        await agent_of(LOOK_UP, DONE).ainvoke(QUESTION, handled())
                        assert remit.current_run() is run
                    find("after")
            return [parents(recorder, "desk:find")[-1], *parents(recorder, "desk:outer")]

    with_langchain = asyncio.run(steps(governed=True))
    assert with_langchain == asyncio.run(steps(governed=False)) == ["desk:outer", "run"]


def test_a_step_between_the_tokens_of_a_model_is_beside_the_call() -> None:
    """Another model call between the tokens is recorded as well."""
    model = GenericFakeChatModel(messages=iter(["It is shipped.", "So it is."]))
    with isolated() as recorder, desk.run():
        for number, _ in enumerate(model.stream("Where?", handled())):
            find(str(number))
            if not number:
                model.invoke("Really?", handled())
    assert set(parents(recorder, "desk:find")) == {"run"}
    assert parents(recorder, "langchain:llm") == ["run", "run"]
    first, second = (span.result or {} for span in recorder.spans("langchain:llm"))
    assert first["outputs"]["messages"][0]["content"] == "It is shipped."
    assert first["chunks"] >= 5
    assert first["first_token_ms"] >= 0
    assert second["outputs"]["messages"][0]["content"] == "So it is."


def test_a_decorated_step_in_a_node_is_the_parent_of_its_model_call() -> None:
    """The current span precedes the parent that LangChain reports."""
    model = Scripted(turns=[DONE])

    @remit.span_type("desk:think")
    def think(state: MessagesState) -> dict[str, object]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_edge(START, "think")
    with isolated() as recorder, desk.run():
        graph.compile(name="Thinker").invoke(QUESTION, handled())
    assert parents(recorder, "desk:think") == ["langchain:chain"]
    assert parents(recorder, "langchain:llm") == ["desk:think"]
    (chain,) = recorder.spans("langchain:chain")
    assert chain.payload["node_name"] == "think"
    (agent,) = recorder.spans("langchain:agent")
    assert agent.payload["agent_name"] == "Thinker"


def test_a_run_inside_a_tool_is_a_run_of_its_own() -> None:
    """Although LangChain reports the tool around it as the parent."""
    turns = [Turn(calls=(("ask", {"order_id": "A-1"}),)), DONE]

    def ask(order_id: str) -> str:
        """Ask another agent."""
        with careful.run():
            agent_of(DONE, name="helper").invoke(QUESTION, handled())
        return order_id

    with isolated() as recorder, desk.run():
        agent_of(*turns, tools=[ask]).invoke(QUESTION, handled())
    outer, other = recorder.runs
    agents = {
        span.payload["agent_name"]: span.run_key for span in recorder.spans("langchain:agent")
    }
    assert agents == {"LangGraph": outer.key, "helper": other.key}


def test_chains_and_retrievers() -> None:
    """They have spans with their names."""

    class Shelf(BaseRetriever):
        def _get_relevant_documents(self, query: str, **_: object) -> list[Document]:
            if query == "broken":
                raise OSError(query)
            return [Document("Orders ship within a day.", metadata={"source": query}, id="d-1")]

    prompt = ChatPromptTemplate.from_template("{question}")
    chain = {"question": Shelf()} | prompt | Scripted(turns=[DONE])
    with isolated() as recorder, desk.run():
        chain.invoke("shipping", handled())
        with pytest.raises(OSError, match="broken"):
            chain.invoke("broken", handled())
    retrieved, broken = recorder.spans("langchain:retriever")
    assert retrieved.payload == {"retriever_name": "Shelf", "inputs": {"query": "shipping"}}
    assert (retrieved.result or {})["outputs"]["documents"][0]["metadata"] == {"source": "shipping"}
    assert broken.status == "failed"
    assert parents(recorder, "langchain:llm") == ["langchain:chain"]
    names = {span.payload["chain_name"] for span in recorder.spans("langchain:chain")}
    assert names == {"RunnableSequence"}


def graph_of(node: Anything, name: str = "desk") -> Anything:
    """Return a graph with a node `supervisor`."""
    graph = StateGraph(MessagesState)
    graph.add_node("supervisor", node)
    graph.add_edge(START, "supervisor")
    return graph.compile(name=name)


def named(recorder: RecordingSink) -> list[tuple[str, str, str]]:
    """Return the names of the steps of the last run, with the name around each and its status."""
    _, *spans = recorder.runs[-1].spans

    def name(span: RecordedSpan) -> str:
        known = step_name(span.name, span.payload)
        return span.name if known is None else f"{known.text} {known.word}"

    by_key = {span.key: name(span) for span in spans}
    return [(by_key.get(span.parent or "", ""), name(span), span.status) for span in spans]


def test_the_plumbing_of_a_node_has_no_spans() -> None:
    """The steps inside a sequence, a prompt, a parser and a lambda belong to the node."""
    prompt = ChatPromptTemplate.from_template("{question}")
    chain = prompt | Scripted(turns=[DONE]) | StrOutputParser() | RunnableLambda(lambda it: it)
    parallel: Anything = RunnablePassthrough.assign(answer=chain)

    def supervisor(state: MessagesState) -> dict[str, object]:
        return {"messages": [parallel.invoke({"question": state["messages"][0].text})["answer"]]}

    with isolated() as recorder:
        graph_of(supervisor).invoke(QUESTION, handled())
    assert named(recorder) == [
        ("", "desk graph", "complete"),
        ("desk graph", "supervisor node", "complete"),
        ("supervisor node", "llm scripted-1", "complete"),
    ]


@pytest.mark.parametrize("text", ["short", "x" * 5_000, "sk-proj-" + "a1B2c3D4" * 8])
def test_names_come_before_the_inputs_of_a_payload(text: str) -> None:
    """The collector reads names from the beginning, whatever the inputs are."""
    question: Anything = {"messages": [("user", text)]}
    with isolated() as recorder:
        agent_of(LOOK_UP, DONE, name="refunds").invoke(question, handled())
        graph_of(lambda state: {"messages": state["messages"]}).invoke(question, handled())
    spans = [span for span in recorder.spans() if span.name in NAMED_TYPES]
    assert len(spans) == 5
    assert {[*span.payload][-1] for span in spans} == {"inputs"}
    assert all(step_name(span.name, span.payload) for span in spans)


def test_a_sub_agent_that_is_a_node_is_one_step() -> None:
    """The node and the agent have one name; the function of an edge belongs to it."""

    def ends(state: MessagesState) -> str:
        del state
        return END

    graph = StateGraph(MessagesState)
    graph.add_node("refunds", agent_of(LOOK_UP, DONE, name="refunds"))
    graph.add_node("orders", agent_of(DONE, name="another"))
    graph.add_edge(START, "refunds")
    graph.add_conditional_edges("refunds", ends)
    graph.add_edge(START, "orders")
    with isolated() as recorder:
        graph.compile(name="desk").invoke(QUESTION, handled())
    assert sorted(named(recorder)) == [
        ("", "desk graph", "complete"),
        ("another agent", "llm scripted-1", "complete"),
        ("desk graph", "orders node", "complete"),
        ("desk graph", "refunds agent", "complete"),
        ("langchain:tool:look_up", "desk:find", "complete"),
        ("orders node", "another agent", "complete"),
        ("refunds agent", "ends chain", "complete"),
        ("refunds agent", "langchain:tool:look_up", "complete"),
        ("refunds agent", "llm scripted-1", "complete"),
        ("refunds agent", "llm scripted-1", "complete"),
    ]
    (refunds,) = (
        span
        for span in recorder.spans("langchain:agent")
        if span.payload["agent_name"] == "refunds"
    )
    assert refunds.payload["inputs"]["messages"][0]["content"] == "Where is order A-1?"
    assert (refunds.result or {})["outputs"]["messages"][0]["content"] == TOLD


def test_the_remit_of_a_sub_agent_that_is_a_node_applies() -> None:
    """And that of the graph around it."""
    spends = Turn(calls=(("spend", {"amount": 5}),))
    helper = agent_of(spends, DONE, tools=[spend], name="helper", risks={"spend": PAYS})
    graph = StateGraph(MessagesState)
    graph.add_node("helper", helper)
    graph.add_edge(START, "helper")
    desk_and_helper = graph.compile(name="chief")
    remits = {"chief": remit.risk(), "helper": PAYS_NOT}
    with isolated(on_violation="deny") as recorder:
        desk_and_helper.invoke(QUESTION, handled(RemitHandler(remits=remits)))
    (tool_call,) = recorder.spans("langchain:tool:spend")
    assert tool_call.denied
    assert parents(recorder, "langchain:tool:spend") == ["langchain:agent"]
    assert len(recorder.spans("langchain:agent")) == 2


def broken(value: object) -> object:
    """Fail."""
    raise LookupError(f"no {value}")


def test_a_subgraph_without_a_name_is_one_step_with_its_node() -> None:
    """One that a function calls with an input of its own is a step inside the node."""
    subgraph = graph_of(lambda _: {"messages": [("assistant", "done")]}, name="LangGraph")

    async def fan_out(state: MessagesState) -> Any:
        first, *_ = await asyncio.gather(
            *[
                subgraph.ainvoke({"messages": [*state["messages"], ("user", str(at))]})
                for at in range(2)
            ]
        )
        return {"messages": first["messages"][-1:]}

    graph = StateGraph(MessagesState)
    graph.add_node("research", subgraph)
    graph.add_node("fan_out", fan_out)
    graph.add_edge(START, "research")
    graph.add_edge("research", "fan_out")
    with isolated() as recorder:
        asyncio.run(graph.compile(name="writer").ainvoke(QUESTION, handled()))
    assert sorted(named(recorder)) == [
        ("", "writer graph", "complete"),
        ("LangGraph graph", "supervisor node", "complete"),
        ("LangGraph graph", "supervisor node", "complete"),
        ("fan_out node", "LangGraph graph", "complete"),
        ("fan_out node", "LangGraph graph", "complete"),
        ("research graph", "supervisor node", "complete"),
        ("writer graph", "fan_out node", "complete"),
        ("writer graph", "research graph", "complete"),
    ]


@pytest.mark.parametrize("name", ["research", "LangGraph"])
def test_a_remit_holds_for_a_subgraph_by_the_name_of_its_node_and_by_its_own(name: str) -> None:
    """A page shows it by the name of the node."""
    subgraph = graph_of(lambda _: {"messages": [("assistant", pay(5))]}, name="LangGraph")
    graph = StateGraph(MessagesState)
    graph.add_node("research", subgraph)
    graph.add_edge(START, "research")
    handler = RemitHandler(remits={"writer": remit.risk(), name: PAYS_NOT})
    with isolated(on_violation="deny"), pytest.raises(DeniedError, match=name):
        graph.compile(name="writer").invoke(QUESTION, handled(handler))


def test_a_lambda_that_fails_has_a_step_with_its_error() -> None:
    """Also if the node handles the error. A lambda has the name of its function."""
    chain: Anything = Scripted(turns=[DONE]) | StrOutputParser() | RunnableLambda(broken)

    def supervisor(state: MessagesState) -> dict[str, object]:
        with suppress(LookupError):
            chain.invoke(state["messages"])
        return {"messages": []}

    with isolated() as recorder:
        graph_of(supervisor).invoke(QUESTION, handled())
    assert named(recorder) == [
        ("", "desk graph", "complete"),
        ("desk graph", "supervisor node", "complete"),
        ("supervisor node", "llm scripted-1", "complete"),
        ("supervisor node", "broken chain", "failed"),
    ]


def test_plumbing_that_fails_is_recorded_when_it_fails() -> None:
    """With the place of the error, its frames, its inputs, and the time when it began."""
    chain: Anything = Scripted(turns=[DONE]) | RunnableLambda(lambda _: broken("order"))

    def supervisor(state: MessagesState) -> dict[str, object]:
        with suppress(LookupError):
            chain.invoke(state["messages"])
        return {"messages": []}

    with isolated() as recorder:
        graph_of(supervisor).invoke(QUESTION, handled())
    assert named(recorder) == [
        ("", "desk graph", "complete"),
        ("desk graph", "supervisor node", "complete"),
        ("supervisor node", "llm scripted-1", "complete"),
        ("supervisor node", "RunnableLambda chain", "failed"),
    ]
    failed = recorder.runs[-1].spans[-1]
    error = (failed.result or {})["error"]
    assert error["type"] == "LookupError"
    assert error["at"].endswith("in broken")
    assert error["frames"][0]["function"] == "broken"
    assert failed.payload["inputs"] == {"role": "assistant", "content": TOLD}
    model = recorder.runs[-1].spans[-2]
    assert (model.finished_ns or 0) <= failed.started_ns < (failed.finished_ns or 0)


def test_an_error_from_a_step_inside_is_recorded_once() -> None:
    """The plumbing around the model call that failed does not repeat the error."""

    def fails(_: int) -> object:
        raise ConnectionError("reset")

    chain: Anything = Scripted(turns=[], on_call=fails) | StrOutputParser()

    def supervisor(state: MessagesState) -> dict[str, object]:
        return {"messages": [chain.invoke(state["messages"])]}

    with isolated() as recorder, suppress(ConnectionError):
        graph_of(supervisor).invoke(QUESTION, handled())
    assert named(recorder) == [
        ("", "desk graph", "failed"),
        ("desk graph", "supervisor node", "failed"),
        ("supervisor node", "llm scripted-1", "failed"),
    ]


def test_a_hook_of_an_agent_that_fails_is_seen() -> None:
    """It has a step with its name; without a failure it has none."""

    class Counts(AgentMiddleware):
        def before_model(self, state: Anything, runtime: Anything) -> None:
            del runtime
            if len(state["messages"]) > 1:
                raise LookupError("too many")

    agent = agent_of(LOOK_UP, DONE, name="orders", middleware=[Counts()])
    with isolated() as recorder, suppress(LookupError):
        agent.invoke(QUESTION, handled())
    assert named(recorder) == [
        ("", "orders agent", "failed"),
        ("orders agent", "llm scripted-1", "complete"),
        ("orders agent", "langchain:tool:look_up", "complete"),
        ("langchain:tool:look_up", "desk:find", "complete"),
        ("orders agent", "Counts.before_model node", "failed"),
    ]


def test_a_text_model_and_a_batch() -> None:
    """The model calls of a batch are beside each other."""
    model = FakeListLLM(responses=["one", "two"])
    with isolated() as recorder, desk.run():
        model.invoke("count", handled())
        Scripted(turns=[DONE, DONE]).generate(
            [[AIMessage("a")], [AIMessage("b")]], callbacks=[RemitHandler()]
        )
    text, *chats = recorder.spans("langchain:llm")
    assert text.payload["operation"] == "text_completion"
    assert text.payload["inputs"]["messages"] == [{"role": "user", "content": "count"}]
    assert (text.result or {})["outputs"]["messages"][0]["content"] == "one"
    assert [chat.payload["inputs"]["messages"][0]["content"] for chat in chats] == ["a", "b"]
    assert {span.status for span in chats} == {"complete"}


def test_a_thread_without_the_context_has_the_parent_that_langchain_reports() -> None:
    """The configuration is passed on, as LangChain says."""
    model = Scripted(turns=[DONE])

    def think(state: MessagesState, config: RunnableConfig) -> dict[str, object]:
        with ThreadPoolExecutor(1) as threads:
            return {"messages": [threads.submit(model.invoke, state["messages"], config).result()]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_edge(START, "think")
    with isolated() as recorder, desk.run():
        graph.compile().invoke(QUESTION, handled())
    assert parents(recorder, "langchain:llm") == ["langchain:chain"]


def test_a_chain_outside_any_run_is_counted_and_not_refused() -> None:
    """It is no agent, so no run is opened."""
    chain = ChatPromptTemplate.from_template("{question}") | Scripted(turns=[DONE])
    with isolated(on_violation="deny") as recorder:
        assert chain.invoke({"question": "Where?"}, handled()).content == TOLD
        assert recorder.runs == []
        assert remit.status().outside_run["langchain:llm"] == 1


# Refusal


@pytest.mark.parametrize("of", ["decorated", "beneath", "declared"])
@pytest.mark.parametrize("handles", [True, "It failed.", (ValueError,)])
def test_a_refusal_is_answered_however_the_node_handles_errors(
    of: str, handles: Anything,
) -> None:  # fmt: skip
    """Not by the words that LangGraph makes of an exception."""

    def ask(amount: int) -> str:
        """Pay through a step beneath."""
        return pay(amount)

    risks = {"decorated": None, "beneath": {"ask": PAYS_NOT}, "declared": {"ask": PAYS}}[of]
    function = pay if of == "decorated" else ask
    node = ToolNode(
        [function], handle_tool_errors=handles, wrap_tool_call=RemitTools([function], risks)
    )
    graph = StateGraph(MessagesState)
    graph.add_node("tools", node)
    graph.add_edge(START, "tools")
    call = {"id": "c", "name": function.__name__, "args": {"amount": 5}, "type": "tool_call"}
    asked: Anything = {"messages": [AIMessage("", tool_calls=[cast("Any", call)])]}
    with isolated(on_violation="deny"), careful.run():
        answer = graph.compile().invoke(asked, handled())["messages"][-1]
    assert answer.status == "error"
    assert answer.tool_call_id == "c"
    assert answer.content.startswith("Policy denied this step and it did not run")


def test_a_decorated_tool_is_counted_once() -> None:
    """The middleware and the function both check it, and only the function has a span."""

    @remit.span_type("desk:pay_anyway", data_risk=PAYS)
    def pay_anyway(amount: int) -> str:
        """Pay an amount."""
        return str(amount)

    turns = [Turn(calls=(("pay_anyway", {"amount": 5}),)), DONE]
    with isolated() as recorder:
        with careful.run():
            agent_of(*turns, tools=[pay_anyway]).invoke(QUESTION, handled())
        assert remit.status().violations == {"desk:pay_anyway": 1}
        assert parents(recorder, "desk:pay_anyway") == ["langchain:agent"]
        assert not [span for span in recorder.spans() if ":tool:" in span.name]


class Spend(BaseTool):
    """A tool that is a class."""

    name: str = "spend"
    description: str = "Spend an amount."

    @remit.span_type("desk:spend_of_class", data_risk=PAYS)
    def _run(self, amount: int) -> str:
        raise AssertionError(f"{amount} was spent")


@tool("spend")
@remit.span_type("desk:spend_later", data_risk=PAYS)
async def spend_later(amount: int) -> str:
    """Spend an amount."""
    raise AssertionError(f"{amount} was spent")


@pytest.mark.parametrize(
    ("made", "step"),
    [(Spend(), "desk:spend_of_class"), (spend_later, "desk:spend_later")],
    ids=["class", "coroutine"],
)
def test_a_decorated_tool_of_any_kind_is_refused_as_its_function(made: BaseTool, step: str) -> None:
    """It has no other span."""
    turns = [Turn(calls=(("spend", {"amount": 5}),)), DONE]
    with isolated(on_violation="deny") as recorder:
        with careful.run():
            state = invoke("async", agent_of(*turns, tools=[made]), QUESTION)
        assert "Policy denied this step" in state["messages"][2].content
        assert [span.status for span in recorder.spans(step)] == ["failed"]
        assert not [span for span in recorder.spans() if ":tool:" in span.name]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_without_the_middleware_a_refused_tool_does_not_run(how: str) -> None:
    """The refusal ends the agent."""
    agent = create_agent(Scripted(turns=[Turn(calls=(("spend", {"amount": 5}),)), DONE]), [spend])
    with isolated(on_violation="deny") as recorder:
        with careful.run(), pytest.raises(DeniedError, match="langchain:tool:spend"):
            invoke(how, agent, QUESTION)
        statuses = {span.name: span.status for span in recorder.spans()}
    assert statuses["langchain:tool:spend"] == "failed"
    assert "active" not in statuses.values()


def test_without_the_middleware_tools_are_recorded() -> None:
    """With the steps inside them."""

    def broken(order_id: str) -> str:
        """Break."""
        raise ValueError(order_id)

    turns = [LOOK_UP, Turn(calls=(("broken", {"order_id": "B"}),)), DONE]
    agent = create_agent(Scripted(turns=turns), [look_up, broken])
    with isolated() as recorder:
        with desk.run(), suppress(ValueError):
            agent.invoke(QUESTION, handled())
        (span,) = recorder.spans("langchain:tool:look_up")
        (failed,) = recorder.spans("langchain:tool:broken")
    assert span.payload["inputs"] == {"order_id": "A-1"}
    assert span.result == {"outputs": {"output": "A-1 is shipped"}}
    assert failed.status == "failed"
    assert parents(recorder, "desk:find") == ["langchain:tool:look_up"]


def test_no_argument_of_a_classified_tool_is_recorded_with_or_without_the_middleware() -> None:
    """Nor if the model knows the tool by another name than the step has."""

    @remit.span_type("desk:record", data_risk=remit.risk(classification="restricted"))
    def patient(who: str) -> str:
        """Look a patient up."""
        return f"{CANARY} {who}"

    turns = [Turn(calls=(("patient", {"who": f"{CANARY}-name"}),)), Turn(text=CANARY)]
    renamed = StructuredTool.from_function(patient, name="card")
    to_card = [Turn(calls=(("card", {"who": f"{CANARY}-name"}),)), Turn(text=CANARY)]
    for agent in (
        create_agent(Scripted(turns=turns), [patient]),
        own_graph(Scripted(turns=turns), [tool(patient)], None),
        agent_of(*to_card, tools=[renamed]),
    ):
        with isolated() as recorder:
            with desk.run():
                asyncio.run(agent.ainvoke(QUESTION, handled()))
            assert list(recorder.spans("desk:record"))
            leaks = [
                (span.name, span.payload, span.result)
                for span in recorder.spans()
                if CANARY in str((span.payload, span.result))
            ]
            assert leaks == []


# Tools that a node calls by itself


def calling(*tools: BaseTool, **arguments: object) -> Anything:
    """Return a graph with a node that calls tools, and writes what they raise."""

    async def act(state: MessagesState) -> Any:
        del state
        answers: list[str] = []
        for each in tools:
            try:
                answers.append(str(await each.ainvoke({**arguments})))
            except DeniedError as error:
                answers.append(error.for_model())
        return {"messages": [("assistant", answer) for answer in answers]}

    graph = StateGraph(MessagesState)
    graph.add_node("act", act)
    graph.add_edge(START, "act")
    return graph.compile(name="shop")


def answers_of(graph: Anything, handler: RemitHandler) -> list[str]:
    """Return what the node of `calling` wrote."""
    state = asyncio.run(graph.ainvoke({"messages": []}, handled(handler)))
    return [str(message.content) for message in state["messages"]]


def test_tools_that_a_node_calls_are_declared_by_the_handlers_tools(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """So what may run runs, and each has one declaration."""
    (harmless, ran), (harmful, spent) = spending("harmless"), spending("harmful")
    graph = calling(harmless, harmful, amount=5)
    with isolated(on_violation="deny") as recorder:
        tools = RemitTools(
            [harmless, harmful], {"harmless": remit.risk(forbids="others"), "harmful": PAYS}
        )
        first, second = answers_of(graph, RemitHandler(tools=tools, remits={"shop": PAYS_NOT}))
        statuses = {span.name: span.status for span in recorder.spans() if ":tool:" in span.name}
        version: Anything = desk.registration()["agent_schema_version"]
    assert (first, ran, spent) == ("bought", [5], [])
    assert second.startswith("Policy denied this step")
    assert statuses == {"langchain:tool:harmless": "complete", "langchain:tool:harmful": "failed"}
    assert "is declared differently" not in caplog.text
    (entry,) = [
        each for each in version["span_type_schemas"] if each["name"] == "langchain:tool:harmless"
    ]
    assert entry["params_schema"]["properties"]["inputs"]["properties"]["amount"]


def test_a_risk_without_a_list_of_tools_holds_for_a_tool_that_a_node_calls() -> None:
    """By its name."""
    (harmless, ran), (other, others_ran) = spending("harmless"), spending("other")
    with isolated(on_violation="deny"):
        handler = RemitHandler(
            tools=RemitTools(risks={"harmless": PAYS_NOT}), remits={"shop": PAYS_NOT}
        )
        first, second = answers_of(calling(harmless, other, amount=5), handler)
    assert (first, ran, others_ran) == ("bought", [5], [])
    assert second.startswith("Policy denied this step")


def test_a_decorated_tool_that_a_node_calls_is_one_step() -> None:
    """If the handler knows the tools."""

    @tool
    @remit.span_type("desk:spend_in_node", data_risk=PAYS_NOT)
    def spend(amount: int) -> str:
        """Spend an amount."""
        return str(amount)

    with isolated(on_violation="deny") as recorder:
        handler = RemitHandler(tools=RemitTools([spend]), remits={"shop": PAYS_NOT})
        assert answers_of(calling(spend, amount=5), handler) == ["5"]
        assert [span.name for span in recorder.spans()][2:] == ["desk:spend_in_node"]


def test_a_handler_without_tools_leaves_the_declaration_of_others_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody declared the tool twice, and it is refused: the handler does not know its risk."""
    harmless, ran = spending("harmless")
    with isolated(on_violation="deny") as recorder:
        RemitTools([harmless], {"harmless": PAYS_NOT})
        (answer,) = answers_of(calling(harmless, amount=5), RemitHandler(remits={"shop": PAYS_NOT}))
        version: Anything = desk.registration()["agent_schema_version"]
        statuses = [span.status for span in recorder.spans("langchain:tool:harmless")]
    assert answer.startswith("Policy denied this step")
    assert (ran, statuses) == ([], ["failed"])
    assert "is declared differently" not in caplog.text
    (entry,) = [
        each for each in version["span_type_schemas"] if each["name"] == "langchain:tool:harmless"
    ]
    assert entry["data_risk"]["action_profile"]["financial_transactions"] == "disallowed"


# Tools that RemitTools does not know


def spending(name: str) -> tuple[BaseTool, list[int]]:
    """Return a tool of any name, and what it spent."""
    spent: list[int] = []

    def buy(amount: int) -> str:
        """Spend an amount."""
        spent.append(amount)
        return "bought"

    return StructuredTool.from_function(buy, name=name), spent


@pytest.mark.parametrize("kind", ["sync", "async", "graph"])
@pytest.mark.parametrize("middleware", ["knows it", "does not know it", None])
@pytest.mark.parametrize("around", [True, False])
def test_a_tool_whose_name_no_span_type_may_have_is_judged(
    kind: str, middleware: str | None, *, around: bool
) -> None:
    """Nothing is known of it: it is refused under a remit, and else runs and is recorded."""
    name = "y" * 2000
    made, spent = spending(name)

    def answer(remit_of_agent: DataRisk) -> str:
        model = Scripted(turns=[Turn(calls=((name, {"amount": 5}),)), DONE])
        governed = RemitTools([made] if middleware == "knows it" else []) if middleware else None
        middlewares = [governed] if governed else []
        agent = create_agent(model, [made], name="LangGraph", middleware=middlewares)
        if kind == "graph":
            agent = own_graph(model, [made], governed)
        config = handled(RemitHandler(remits=None if around else {"LangGraph": remit_of_agent}))
        holder = careful if remit_of_agent is PAYS_NOT else desk
        with holder.run() if around else nullcontext():
            if kind == "sync":
                state = agent.invoke(QUESTION, config)
            else:
                state = asyncio.run(agent.ainvoke(QUESTION, config))
        return str(state["messages"][2].content)

    with recording("deny") as recorder:
        if middleware is None:
            with pytest.raises(DeniedError, match="langchain:tool was denied"):
                answer(PAYS_NOT)
        else:
            assert "Policy denied this step" in answer(PAYS_NOT)
        assert spent == []
        (span,) = recorder.spans("langchain:tool")
        assert span.status == "failed"
        assert answer(remit.risk()) == "bought"
        assert spent == [5]
        assert [span.status for span in recorder.spans("langchain:tool")] == ["failed", "complete"]
        assert remit.status().faults == {}


class Adding(AgentMiddleware[Any, Any, Any]):
    """Adds a tool at run time, as the documentation of LangChain does."""

    def __init__(self, added: BaseTool) -> None:
        """Add this tool."""
        super().__init__()
        self.added = added

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        """Show the tool to the model."""
        return handler(request.override(tools=[*request.tools, self.added]))

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        """Call the tool."""
        if request.tool_call["name"] == self.added.name:
            return handler(request.override(tool=self.added))
        return handler(request)


@pytest.mark.parametrize("with_handler", [True, False])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        ({}, True),
        ({"risks": {"buy": PAYS_NOT}}, False),
        ({"risks": {"buy": PAYS}}, True),
    ],
    ids=["unknown", "allowed", "forbidden"],
)
def test_a_tool_that_other_middleware_adds_is_judged(
    arguments: Mapping[str, Any], *, with_handler: bool, first: bool, refused: bool
) -> None:
    """By its name, if `RemitTools` comes before that middleware."""
    made, spent = spending("buy")
    both: list[Any] = [RemitTools(**arguments), Adding(made)]
    turns = [LOOK_UP, Turn(calls=(("buy", {"amount": 5}),)), DONE]
    agent: Anything = create_agent(
        Scripted(turns=turns),
        [look_up],
        name="buyer",
        middleware=both if first else both[::-1],
    )
    with recording("deny") as recorder:
        with careful.run():
            state = agent.invoke(QUESTION, handled() if with_handler else None)
        (answer,) = [
            str(each.content)
            for each in state["messages"]
            if isinstance(each, ToolMessage) and each.name == "buy"
        ]
        assert ("Policy denied this step" in answer) is refused
        assert spent == ([] if refused else [5])
        name = "langchain:tool" if first and not arguments else "langchain:tool:buy"
        (span,) = recorder.spans(name)
        assert span.status == ("failed" if refused else "complete")
        assert remit.status().faults == {}


def test_a_tool_that_nobody_has_is_no_span_type_of_its_own() -> None:
    """A model may make up any number of names."""
    turns = [Turn(calls=(("made_up", {}),)), DONE]
    with recording("deny") as recorder:
        with desk.run():
            state = agent_of(*turns).invoke(QUESTION, handled())
        assert "made_up is not a valid tool" in str(state["messages"][2].content)
        (span,) = recorder.spans("langchain:tool")
        assert (span.status, span.payload["tool_name"]) == ("failed", "made_up")


def test_a_risk_of_a_tool_that_cannot_be_declared_is_an_error() -> None:
    """The tool would be judged without it."""
    made, _ = spending("y" * 2000)
    with pytest.raises(DeclarationError, match="1000"):
        RemitTools([made], {made.name: PAYS})


# Sub-agents, and remits of their own


def sub_agents(**handler: Anything) -> tuple[Any, RunnableConfig]:
    """Return an agent whose tool asks another agent, which looks up and spends."""
    turns = [LOOK_UP, Turn(calls=(("spend", {"amount": 5}),)), Turn(text="Refused.")]
    helper = agent_of(*turns, tools=[look_up, spend], name="helper", risks={
        "spend": PAYS, "look_up": PAYS_NOT,
    })  # fmt: skip

    def ask(question: str) -> str:
        """Ask the helper."""
        answer = helper.invoke({"messages": [("user", question)]})
        return str([str(each.content) for each in answer["messages"]])

    turns = [Turn(calls=(("ask", {"question": "Where?"}),)), DONE]
    agent = agent_of(*turns, tools=[ask], name="chief", risks={"ask": PAYS_NOT})
    return agent, handled(RemitHandler(**handler))


def test_a_sub_agent_is_beneath_its_tool_and_has_its_own_remit() -> None:
    """The remit of the inner agent refuses what the outer one may do."""
    agent, config = sub_agents(remits={"helper": PAYS_NOT})
    with isolated(on_violation="deny") as recorder:
        with desk.run():
            state = agent.invoke(QUESTION, config)
        assert "Policy denied this step" in state["messages"][2].content
        assert [span.payload["agent_name"] for span in recorder.spans("langchain:agent")] == [
            "chief",
            "helper",
        ]
        assert parents(recorder, "langchain:agent") == ["run", "langchain:tool:ask"]
        assert parents(recorder, "langchain:tool:look_up") == ["langchain:agent"]
        (refused,) = recorder.spans("langchain:tool:spend")
        assert refused.status == "failed"
        assert "langchain.agents:helper" in str(refused.result)


@remit.agent("Payments", limits=remit.limits(financial_transactions=1))
def one_payment() -> None:
    """Open runs of one payment."""


@pytest.mark.parametrize("how", ["sync", "async"])
def test_the_limit_of_an_agent_around_admits_one_of_two_payments_of_a_graph(how: str) -> None:
    """Each run has its own count, and the model reads why the second payment does not run."""
    made, spent = spending("spend")
    twice = Turn(calls=(("spend", {"amount": 5}), ("spend", {"amount": 7})))
    read: list[str] = []
    with isolated(on_violation="deny") as recorder:
        for _ in range(2):
            agent = agent_of(twice, DONE, tools=[made], risks={"spend": PAYS})
            with one_payment.run():
                messages = invoke(how, agent, QUESTION)["messages"]
            read += [str(each.content) for each in messages if isinstance(each, ToolMessage)]
    assert len(spent) == 2
    denied = [span.denied for span in recorder.spans("langchain:tool:spend")]
    assert sorted(denied) == [False, False, True, True]
    assert sum("limit of this run for financial transactions" in each for each in read) == 2


def test_a_remit_of_an_outermost_agent_holds_outside_any_run() -> None:
    """It is the remit of the run that the agent opens, and is checked once."""
    agent = agent_of(
        Turn(calls=(("spend", {"amount": 5}),)),
        DONE,
        tools=[spend],
        name="payer",
        risks={"spend": PAYS},
    )
    with isolated(on_violation="deny") as recorder:
        state = agent.invoke(QUESTION, handled(RemitHandler(remits={"payer": PAYS_NOT})))
        (run,) = recorder.runs
        assert (run.agent, run.status) == ("langchain.agents:payer", "complete")
        assert "Policy denied this step" in state["messages"][2].content
        (refused,) = recorder.spans("langchain:tool:spend")
        assert len((refused.result or {})["error"]["violations"]) == 1


def test_an_agent_that_hands_over_is_complete() -> None:
    """LangGraph reports the command for the graph around as an exception."""

    def hand_over(state: MessagesState) -> Command[str]:  # noqa: ARG001 - LangGraph passes it by name
        return Command(goto="other", graph=Command.PARENT)

    first = StateGraph(MessagesState)
    first.add_node("hand_over", hand_over)
    first.add_edge(START, "hand_over")
    graph = StateGraph(MessagesState)
    graph.add_node("first", first.compile(name="front"))
    graph.add_node("other", agent_of(LOOK_UP, DONE, name="other"))
    graph.add_edge(START, "first")
    with isolated() as recorder:
        with desk.run():
            graph.compile(name="team").invoke(QUESTION, handled())
        assert {span.status for span in recorder.spans()} == {"complete"}
        assert recorder.runs[0].status == "complete"
        agents = [span.payload for span in recorder.spans("langchain:agent")]
        assert [(each["agent_name"], each.get("agent_kind")) for each in agents] == [
            ("team", "graph"),
            ("front", "graph"),
            ("other", None),
        ]
        assert parents(recorder, "langchain:tool:look_up") == ["langchain:agent"]


# What a call says of its run


def about(recorder: RecordingSink) -> list[tuple[str | None, str | None, str | None]]:
    """Return conversation, on_behalf_of and subject of each run."""
    return [(run.conversation, run.on_behalf_of, run.subject) for run in recorder.runs]


def asked_with(config: Anything, **handler: Anything) -> list[tuple[Anything, ...]]:
    """Call a graph with a configuration; return conversation, person and subject of its runs."""
    graph = graph_of(lambda _: {"messages": []})
    with isolated() as recorder:
        graph.invoke(QUESTION, {"callbacks": [RemitHandler(**handler)], **config})
    return about(recorder)


def test_the_thread_of_a_graph_is_the_conversation_of_its_run() -> None:
    """Its own metadata name the person; the tags are labels."""
    graph = graph_of(lambda _: {"messages": []})
    thread: Anything = {
        **handled(thread="thread-9"),
        "metadata": {"user_id": "user-42", "session_id": "other"},
        "tags": ["vip", "seq:step:9"],
    }
    with isolated() as recorder:
        graph.invoke(QUESTION, thread)
    assert about(recorder) == [("thread-9", "user-42", None)]
    assert recorder.runs[0].root.payload["labels"] == ["vip"]
    assert "conversation" not in recorder.spans("langchain:agent")[0].payload


@pytest.mark.parametrize(
    ("metadata", "conversation"),
    [
        ({"session_id": "session-1", "conversation_id": "other"}, "session-1"),
        ({"conversation_id": "conversation-1"}, "conversation-1"),
        ({"thread_id": "x" * 201}, None),
        ({"thread_id": "sk-proj-" + "a1B2" * 12}, None),
        ({"thread_id": ["a list"]}, None),
        ({}, None),
    ],
)
def test_metadata_name_a_conversation(metadata: Anything, conversation: str | None) -> None:
    """What is not valid is left out, and raises nothing."""
    assert asked_with({"metadata": metadata}) == [(conversation, None, None)]


def test_a_handler_says_what_its_runs_are_about() -> None:
    """By a text, or by a function of the metadata; one that returns None says nothing."""
    metadata = {"tenant": "acme", "thread_id": "thread-9", "user_id": "user-42"}
    handler: Anything = {
        "conversation": lambda given: f"{given['tenant']}/{given['thread_id']}",
        "on_behalf_of": lambda _: None,
        "subject": "customer-17",
    }
    said = [("acme/thread-9", "user-42", "customer-17")]
    assert asked_with({"metadata": metadata}, **handler) == said


def test_a_function_of_a_handler_that_fails_loses_its_value() -> None:
    """It is counted as a fault."""
    graph = graph_of(lambda _: {"messages": []})
    handler = RemitHandler(conversation=lambda given: given["nothing"], labels={"channel": "chat"})
    with isolated() as recorder, counting(Faults()) as faults:
        graph.invoke(QUESTION, {"callbacks": [handler]})
    assert about(recorder) == [(None, None, None)]
    assert recorder.runs[0].root.payload["labels"] == {"channel": "chat"}
    assert dict(faults.counts) == {"a function of RemitHandler": 1}


def test_the_thread_inside_a_run_of_the_programs_is_in_the_agents_span() -> None:
    """The root span is sent before the graph begins."""
    graph = graph_of(lambda _: {"messages": []})
    with isolated() as recorder:
        with desk.run(on_behalf_of="user-1"):
            graph.invoke(QUESTION, handled(thread="thread-9"))
        assert about(recorder) == [(None, "user-1", None)]
        payloads = [span.payload.get("conversation") for span in recorder.spans()]
    assert payloads.count("thread-9") == 1


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"conversation": 7}, "conversation=...\\): saw an object of type int; expected a string"),
        ({"subject": ""}, "subject=...\\): saw a string of 0 characters"),
        ({"labels": "vip"}, "labels=...\\): saw .*; expected a list of strings"),
    ],
)
def test_a_wrong_text_about_runs_is_named(argument: Anything, message: str) -> None:
    """At the handler, not at its calls."""
    with pytest.raises(DeclarationError, match=message):
        RemitHandler(**argument)


# Interrupts


def approving(*, in_tool: bool, **options: Anything) -> Anything:
    """Return an agent that asks before it looks up."""

    def look_up(order_id: str) -> str:
        """Look an order up."""
        if in_tool:
            interrupt("May I?")
        return find(order_id)

    human = HumanInTheLoopMiddleware(interrupt_on={"look_up": True})
    return agent_of(
        LOOK_UP,
        DONE,
        tools=[look_up],
        middleware=() if in_tool else (human,),
        **options,
    )


APPROVED: Final[Command[str]] = Command(resume={"decisions": [{"type": "approve"}]})


@pytest.mark.parametrize("in_tool", [True, False])
@pytest.mark.parametrize("how", ["sync", "async"])
def test_an_interrupt_leaves_the_run_open_and_a_resumed_run_goes_on(
    how: str, *, in_tool: bool
) -> None:
    """In a tool and in a middleware."""
    with isolated() as recorder:
        agent = approving(checkpointer=InMemorySaver(), in_tool=in_tool)
        with desk.run() as run:
            assert invoke(how, agent, QUESTION)["__interrupt__"]
        assert recorder.runs[0].status == "open"
        statuses = {span.status for span in recorder.spans("langchain:agent")}
        assert statuses == {"cancelled"}
        assert "failed" not in {span.status for span in recorder.spans()}
        assert not list(recorder.spans("desk:find"))
        with desk.run(resume=run.key):
            assert invoke(how, agent, APPROVED)["messages"][-1].content == TOLD
        assert [span.status for span in recorder.spans("langchain:agent")][-1] == "complete"
        assert len(list(recorder.spans("desk:find"))) == 1
        assert [each.status for each in recorder.runs][-1] == "complete"


@pytest.mark.parametrize("in_tool", [True, False])
def test_a_graph_that_goes_on_in_the_same_block_ends_its_run(*, in_tool: bool) -> None:
    """Nothing waits any more."""
    with isolated() as recorder:
        agent = approving(checkpointer=InMemorySaver(), in_tool=in_tool)
        with desk.run():
            agent.invoke(QUESTION, handled())
            agent.invoke(APPROVED, handled())
        assert recorder.runs[0].status == "complete"


def test_a_run_stays_open_for_the_graph_that_still_waits() -> None:
    """One of two graphs goes on."""
    with isolated() as recorder:
        agent = approving(checkpointer=InMemorySaver(), in_tool=True)
        other = approving(checkpointer=InMemorySaver(), in_tool=True)
        with desk.run():
            agent.invoke(QUESTION, handled())
            other.invoke(QUESTION, handled())
            agent.invoke(APPROVED, handled())
        assert recorder.runs[0].status == "open"


def test_a_subgraph_that_goes_on_in_the_same_block_ends_its_run() -> None:
    """LangGraph reports the interrupt of both graphs."""

    def ask(state: MessagesState) -> dict[str, object]:  # noqa: ARG001 - LangGraph passes it by name
        return {"messages": [("assistant", interrupt("May I?"))]}

    inner = StateGraph(MessagesState)
    inner.add_node("ask", ask)
    inner.add_edge(START, "ask")
    graph = StateGraph(MessagesState)
    graph.add_node("inner", inner.compile())
    graph.add_edge(START, "inner")
    outer: Anything = graph.compile(checkpointer=InMemorySaver(), name="outer")
    with isolated() as recorder:
        with desk.run():
            assert outer.invoke(QUESTION, handled())["__interrupt__"]
            answer = outer.invoke(Command(resume="yes"), handled())
        assert answer["messages"][-1].content == "yes"
        assert recorder.runs[0].status == "complete"
        agents = recorder.spans("langchain:agent")
        statuses = [(span.payload["agent_name"], span.status) for span in agents]
        assert statuses == [
            ("outer", "cancelled"),
            ("inner", "cancelled"),
            ("outer", "complete"),
            ("inner", "complete"),
        ]


def test_a_run_that_an_agent_opened_waits_and_the_answer_goes_on_in_it() -> None:
    """The question and its answer are complete spans of the one run."""
    clock = FakeClock()
    with isolated(clock=clock) as recorder:
        agent = approving(checkpointer=InMemorySaver(), in_tool=True)
        config: Anything = {**handled(thread="t-1"), "metadata": {"user_id": "ada"}}
        assert agent.invoke(QUESTION, config)["__interrupt__"]
        clock.advance(90)
        config["metadata"]["user_id"] = "ben"
        assert agent.invoke(APPROVED, config)["messages"][-1].content == TOLD
    first, second = recorder.runs
    assert (first.status, second.status) == ("open", "complete")
    assert (first.feed.continues, second.feed.continues) == (None, first.key)
    assert second.feed.root == first.feed.root
    (asked,), (answered,) = recorder.spans("remit:asked"), recorder.spans("remit:answered")
    ticket = asked.payload["ticket"]
    assert asked.payload == {"asked": "May I?", "how": "interrupt", "ticket": ticket}
    assert answered.payload == {
        "answer": {"decisions": [{"type": "approve"}]},
        "by": "ben",
        "ticket": ticket,
        "as_claimed": True,
        "waited_ms": 90_000,
    }
    assert {asked.status, answered.status} == {"complete"}
    agents = recorder.spans("langchain:agent")
    assert next((span.status, span.result) for span in agents) == (
        "cancelled",
        {"suspended": True},
    )
    assert "failed" not in {span.status for span in recorder.spans()}


def asking(*nodes: str, saver: InMemorySaver | None = None, **options: Anything) -> Anything:
    """Return a graph whose nodes each ask, side by side."""

    def ask(name: str) -> Anything:
        return lambda _: {"messages": [("assistant", f"{name}: {interrupt(name + '?')}")]}

    graph = StateGraph(MessagesState)
    for name in nodes:
        graph.add_node(name, ask(name))
        graph.add_edge(START, name)
    return graph.compile(name="asking", checkpointer=saver or InMemorySaver(), **options)


def payloads(recorder: RecordingSink, name: str) -> list[dict[str, Any]]:
    """Return the payloads of the questions or answers."""
    return [span.payload for span in recorder.spans() if span.name == f"remit:{name}"]


def test_of_two_questions_one_is_answered_and_the_other_is_not_asked_again() -> None:
    """A map of answers has the ids of the interrupts; LangGraph names the open one again."""
    with isolated() as recorder:
        graph = asking("pay", "mail")
        asked = graph.invoke(QUESTION, handled())["__interrupt__"]
        mail_it, pay_it = sorted(asked, key=lambda each: each.value)  # the nodes run side by side
        assert graph.invoke(Command(resume={pay_it.id: "yes"}), handled())["__interrupt__"]
        graph.invoke(Command(resume="no"), handled())
    assert sorted(each["asked"] for each in payloads(recorder, "asked")) == ["mail?", "pay?"]
    answers = [(each["answer"], each["ticket"]) for each in payloads(recorder, "answered")]
    assert answers == [("yes", pay_it.id), ("no", mail_it.id)]
    assert [run.status for run in recorder.runs] == ["open", "open", "complete"]
    assert len({run.feed.root for run in recorder.runs}) == 1


def test_a_breakpoint_waits_for_a_call_without_input() -> None:
    """Its id is that of the checkpoint."""
    with isolated() as recorder:
        graph = StateGraph(MessagesState)
        graph.add_node("answer", lambda _: {"messages": [("assistant", "yes")]})
        graph.add_edge(START, "answer")
        stopping: Anything = graph.compile(
            name="stopping", checkpointer=InMemorySaver(), interrupt_before=["answer"]
        )
        stopping.invoke(QUESTION, handled())
        stopping.invoke(None, handled())
    (asked,), (answered,) = payloads(recorder, "asked"), payloads(recorder, "answered")
    assert (asked["asked"], asked["how"]) == (None, "breakpoint")
    assert answered["ticket"] == asked["ticket"]
    assert [run.status for run in recorder.runs] == ["open", "complete"]


def test_going_back_in_time_is_a_run_of_its_own_and_answers_nothing() -> None:
    """The question that waits goes on waiting."""
    with isolated() as recorder:
        graph = asking("pay")
        graph.invoke(QUESTION, handled())
        (before,) = [each for each in graph.get_state_history(handled()) if each.next == ("pay",)]
        graph.invoke(None, {**handled(), "configurable": before.config["configurable"]})
    assert [run.feed.continues for run in recorder.runs] == [None, None]
    assert not payloads(recorder, "answered")


def test_new_input_is_a_run_of_its_own() -> None:
    """LangGraph drops the question."""
    with isolated() as recorder:
        graph = asking("pay")
        graph.invoke(QUESTION, handled())
        graph.invoke(QUESTION, handled())
        graph.invoke(Command(resume="yes"), handled())
    first, second, third = recorder.runs
    assert (second.feed.continues, third.feed.continues) == (None, second.key)
    assert first.feed.root != third.feed.root


def test_questions_are_not_recorded_without_messages() -> None:
    """Their values are what the messages are."""
    with isolated() as recorder:
        config = handled(RemitHandler(capture_messages="none"))
        graph = asking("pay")
        graph.invoke(QUESTION, config)
        graph.invoke(Command(resume="yes"), config)
    assert payloads(recorder, "asked")[0]["asked"] is None
    assert payloads(recorder, "answered")[0]["answer"] is None


def test_a_sub_agent_that_is_a_node_is_interrupted_and_goes_on() -> None:
    """Its step is cancelled, and the run stays open."""
    graph = StateGraph(MessagesState)
    graph.add_node("helper", approving(in_tool=True, name="helper"))
    graph.add_edge(START, "helper")
    chief = graph.compile(name="chief", checkpointer=InMemorySaver())
    with isolated() as recorder:
        with desk.run() as run:
            assert chief.invoke(QUESTION, handled())["__interrupt__"]
        assert recorder.runs[0].status == "open"
        with desk.run(resume=run.key):
            assert chief.invoke(APPROVED, handled())["messages"][-1].content == TOLD
        assert recorder.runs[-1].status == "complete"
        steps = [(span.payload["agent_name"], span.status) for span in agents_in(recorder)]
    assert steps == [
        ("chief", "cancelled"),
        ("helper", "cancelled"),
        ("chief", "complete"),
        ("helper", "complete"),
    ]


def agents_in(recorder: RecordingSink) -> Sequence[RecordedSpan]:
    """Return the steps of agents."""
    assert not recorder.spans("langchain:chain")
    return recorder.spans("langchain:agent")


# Streams


@pytest.mark.parametrize("how", ["left", "closed", "collected"])
def test_a_stream_of_an_agent_that_is_not_read_to_its_end_is_cancelled(how: str) -> None:
    """Its run is complete."""
    with isolated() as recorder:
        with desk.run():
            stream = agent_of(LOOK_UP, DONE).stream(QUESTION, handled(), stream_mode="messages")
            next(stream)
            if how == "left":
                pass
            elif how == "closed":
                stream.close()
            else:
                del stream
            if how != "left":
                find("after")
                assert parents(recorder, "desk:find")[-1] == "run"
        # A thread of LangGraph may still read the model's answer when the block ends.
        wait_until(lambda: recorder.runs[0].status == "complete")
        (agent,) = recorder.spans("langchain:agent")
        assert agent.status == "cancelled"


def test_a_stream_of_a_model_that_is_left_has_what_came() -> None:
    """It is cancelled."""

    async def leave() -> None:
        model = GenericFakeChatModel(messages=iter(["It is shipped."]))
        with desk.run():
            stream = cast("AsyncIterator[Any]", model.astream("Where?", handled()))
            await anext(stream)
            await cast("Any", stream).aclose()

    with isolated() as recorder:
        asyncio.run(leave())
        (span,) = recorder.spans("langchain:llm")
    assert span.status == "cancelled"
    assert (span.result or {})["outputs"]["messages"][0]["content"] == "It"


# Registration


def test_two_modules_with_a_tool_of_one_name() -> None:
    """Each has the risk that its module declares."""

    def module(risk: DataRisk) -> Anything:
        def search(query: str) -> str:
            """Search."""
            return query

        search_tool = StructuredTool.from_function(search, description=str(risk.model_dump()))
        turns = [Turn(calls=(("search", {"query": "x"}),)), DONE]
        return lambda: agent_of(*turns, tools=[search_tool], risks={"search": risk})

    def read(agent: Anything) -> str:
        with careful.run():
            return str(agent().invoke(QUESTION, handled())["messages"][2].content)

    with isolated(on_violation="deny"):
        pays, pays_not = module(PAYS), module(PAYS_NOT)
        answers = [read(pays_not), read(pays), read(pays_not)]
    assert (answers[0], answers[2]) == ("x", "x")
    assert answers[1].startswith("Policy denied this step")


def test_an_agent_for_each_request_leaves_the_registry_as_it_was() -> None:
    """After the first request."""
    with isolated():
        versions = []
        for _ in range(5):
            with desk.run():
                agent = agent_of(LOOK_UP, DONE, risks={"look_up": PAYS_NOT})
                agent.invoke(QUESTION, handled(RemitHandler(remits={"LangGraph": PAYS_NOT})))
            agent_of(DONE, name="alone").invoke(QUESTION, handled())
            versions.append(process.registry().version)
    assert len(set(versions)) == 1


def test_tools_are_registered_when_the_middleware_is_made() -> None:
    """With schema, description and risk."""

    def ship(order_id: str) -> str:
        """Ship an order."""
        return order_id

    with isolated():
        RemitTools([ship], {"ship": PAYS_NOT})
        version: Anything = desk.registration()["agent_schema_version"]
        (entry,) = [
            each for each in version["span_type_schemas"] if each["name"] == "langchain:tool:ship"
        ]
    inputs = entry["params_schema"]["properties"]["inputs"]
    assert inputs["properties"]["order_id"]["type"] == "string"
    assert entry["description"] == "Ship an order."
    assert entry["data_risk"]["action_profile"]["financial_transactions"] == "disallowed"


def test_a_tool_that_the_middleware_does_not_know_is_declared_at_its_first_call() -> None:
    """With its schema."""
    agent = create_agent(
        Scripted(turns=[LOOK_UP, DONE]), [look_up], middleware=[RemitTools(risks={"look_up": PAYS})]
    )
    with isolated() as recorder:
        with desk.run():
            agent.invoke(QUESTION, handled())
        assert parents(recorder, "langchain:tool:look_up") == ["langchain:agent"]
        version: Anything = desk.registration()["agent_schema_version"]
        assert "order_id" in str(version)


def test_a_risk_of_a_decorated_tool_that_is_found_late_holds_as_well() -> None:
    """Such a tool has both spans."""

    @remit.span_type("desk:found_late", data_risk=PAYS_NOT)
    def spend(amount: int) -> str:
        """Spend an amount."""
        raise AssertionError(f"{amount} was spent")

    model = Scripted(turns=[Turn(calls=(("spend", {"amount": 5}),)), DONE])
    agent = create_agent(model, [spend], middleware=[RemitTools(risks={"spend": PAYS})])
    with isolated(on_violation="deny") as recorder:
        with careful.run():
            state = agent.invoke(QUESTION, handled())
        assert "Policy denied this step" in state["messages"][2].content
        assert [span.status for span in recorder.spans("langchain:tool:spend")] == ["failed"]


# What is recorded once, and what does not break


@pytest.mark.parametrize("other", [RemitHandler(), RemitHandler(capture_messages="all")])
def test_several_handlers_record_once(other: RemitHandler) -> None:
    """In one list, and at an outer and an inner call; equal or not."""

    def ask(question: str) -> str:
        """Ask."""
        helper = agent_of(DONE, name="helper")
        return str(helper.invoke({"messages": [("user", question)]}, handled(other)))

    agent = agent_of(Turn(calls=(("ask", {"question": "?"}),)), DONE, tools=[ask])
    with isolated() as recorder:
        with desk.run():
            agent.invoke(QUESTION, handled(RemitHandler(), other))
        assert len(list(recorder.spans("langchain:llm"))) == 3
        assert len(list(recorder.spans("langchain:agent"))) == 2
        assert len(list(recorder.spans("langchain:tool:ask"))) == 1
        assert {span.status for span in recorder.spans()} == {"complete"}


def test_the_remit_of_a_second_handler_holds_as_well() -> None:
    """The first one records, and has none."""
    turns = [Turn(calls=(("spend", {"amount": 5}),)), DONE]
    agent = agent_of(*turns, tools=[spend], name="payer", risks={"spend": PAYS})
    config = handled(RemitHandler(), RemitHandler(remits={"payer": PAYS_NOT}))
    with isolated(on_violation="deny") as recorder:
        with desk.run():
            state = agent.invoke(QUESTION, config)
        assert "Policy denied this step" in state["messages"][2].content
        assert len(list(recorder.spans("langchain:agent"))) == 1


@pytest.mark.parametrize(("capture", "count"), [("new", 1), ("all", 3), ("none", 0)])
def test_how_messages_are_captured(capture: Anything, count: int) -> None:
    """Tokens are recorded in any case."""
    with isolated() as recorder:
        with desk.run():
            handler = RemitHandler(capture_messages=capture)
            agent_of(LOOK_UP, DONE).invoke(QUESTION, handled(handler))
        _, second = recorder.spans("langchain:llm")
        (agent,) = recorder.spans("langchain:agent")
    assert len(second.payload["inputs"]["messages"]) == count
    assert (TOLD in str(second.result)) == (capture != "none")
    assert (TOLD in str(agent.result)) == (capture != "none")
    assert (second.result or {})["token_usage"] == {
        "prompt_tokens": 11,
        "completion_tokens": 7,
        "total_tokens": 18,
    }
    assert (second.result or {})["usage_details"] == {
        "cache_read": 3,
        "cache_write": 2,
        "reasoning": 4,
    }
    assert second.payload["inputs"]["tools"] == [{"name": "look_up", "description": "x"}]


def test_media_are_not_recorded_and_calls_only_once() -> None:
    """An image is recorded as size and digest."""
    answer = AIMessage(
        content=[
            {"type": "reasoning", "reasoning": "Let me see."},
            {"type": "text", "text": "Look:"},
            {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"},
            {"type": "tool_call", "id": "c", "name": "look_up", "args": {"order_id": "A-1"}},
        ]
    )
    with isolated() as recorder:
        with desk.run():
            Scripted(turns=[answer]).invoke("?", handled())
        (span,) = recorder.spans("langchain:llm")
    (message,) = (span.result or {})["outputs"]["messages"]
    assert message["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image/png", "size": 8, "digest": "333d6b3a3c1f5db6"},
    ]


def test_an_answer_of_another_shape_is_read_as_far_as_it_goes() -> None:
    """The call is as without."""

    class Odd(Scripted):
        def _generate(self, *_: object, **__: object) -> ChatResult:
            message = AIMessage("ok", response_metadata={"finish_reason": 7, "id": ["x"]})
            return ChatResult(
                generations=[ChatGeneration(message=message, generation_info={"a": object()})],
                llm_output={"token_usage": 5},
            )

    with isolated() as recorder:
        with desk.run():
            assert Odd(turns=[]).invoke("?", handled()).content == "ok"
        (span,) = recorder.spans("langchain:llm")
    assert span.status == "complete"
    assert (span.result or {})["outputs"]["messages"][0]["content"] == "ok"
    assert "token_usage" not in (span.result or {})


def test_results_are_the_same_with_and_without(capsys: pytest.CaptureFixture[str]) -> None:
    """Also of a tool that does not exist."""

    def graph(*, governed: bool) -> Anything:
        tools = [look_up, fail]
        model = Scripted(turns=[LOOK_UP, Turn(calls=(("nothing", {}),)), DONE])
        return create_agent(model, tools, middleware=[RemitTools(tools)] if governed else [])

    def contents(state: Anything) -> list[tuple[str, str]]:
        return [(each.type, str(each.content)) for each in state["messages"]]

    with isolated(), desk.run():
        governed = contents(graph(governed=True).invoke(QUESTION, handled()))
    assert governed == contents(graph(governed=False).invoke(QUESTION))
    assert capsys.readouterr().err == ""


def test_a_fault_of_remit_loses_what_is_recorded_and_nothing_else() -> None:
    """It is counted."""

    class Odd(dict[str, int]):
        def items(self) -> Anything:
            raise LookupError("odd")

    chain: Anything = RunnableLambda(lambda value: value)
    value = Odd(a=1)
    with isolated() as recorder:
        with desk.run(), counting(Faults()) as faults:
            assert chain.invoke(value, handled()) is value
        (span,) = recorder.spans("langchain:chain")
        assert span.status == "complete"
    assert set(faults.counts) == {"the payload of a span", "the result of a span"}


# Bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RemitHandler(capture_messages=cast("Any", "some")), "capture_messages is"),
        (lambda: RemitHandler(remits=cast("Any", [PAYS])), "expected a mapping of names"),
        (lambda: RemitHandler(remits={"helper": cast("Any", 5)}), r"remits\['helper'\]"),
        (lambda: RemitHandler(tools=cast("Any", [look_up])), r"expected RemitTools\(tools"),
        (lambda: RemitTools([look_up], {"lookup": PAYS}), "expected one of the tools look_up"),
        (lambda: RemitTools([look_up], cast("Any", PAYS)), "expected a mapping of names"),
        (lambda: RemitTools([look_up], {"look_up": cast("Any", "low")}), "look_up"),
        (lambda: RemitTools(risks={"look_up": cast("Any", "low")}), "look_up"),
        (lambda: RemitTools(cast("Any", [5])), "functions, or tools of LangChain"),
        (lambda: RemitTools(cast("Any", look_up)), "expected a list of tools"),
        (lambda: RemitTools([pay], {"pay": PAYS}), "whose function is decorated"),
    ],
    ids=map(str, range(11)),
)
def test_bad_input_is_named(make: Callable[[], object], message: str) -> None:
    """With what was expected."""
    with isolated(), pytest.raises(DeclarationError, match=message):
        make()


def test_an_agent_that_remits_does_not_name_is_an_error() -> None:
    """Nothing would limit it: the name in `remits` has to be that of the agent."""
    agent = agent_of(DONE)
    with isolated() as recorder, pytest.raises(DeclarationError, match="'LangGraph'") as raised:
        agent.invoke(QUESTION, handled(RemitHandler(remits={"desk": PAYS_NOT})))
    assert "it has 'desk'" in str(raised.value)
    assert recorder.spans() == []


def test_remits_may_have_the_identifier_of_the_agent() -> None:
    """As messages show it."""
    agent = agent_of(Turn(calls=(("spend", {"amount": 5}),)), DONE, tools=[spend], name="desk")
    config = handled(RemitHandler(remits={"langchain.agents:desk": PAYS_NOT}))
    with isolated(on_violation="deny") as recorder:
        agent.invoke(QUESTION, config)
    assert [span.status for span in recorder.spans("langchain:tool:spend")] == ["failed"]
