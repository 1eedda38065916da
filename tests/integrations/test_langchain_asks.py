"""LangGraph asks a person by an interrupt: the graph pauses, and goes on with the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

import remit
from remit.integrations.langchain import RemitHandler, RemitTools, by_interrupt
from remit.testing import RecordingSink, isolated
from tests.integrations.test_langchain import Scripted
from tests.scenarios import DONE, Turn
from tests.subtests import each

PAYS = remit.risk(allows="financial_transactions", forbids="others")
PAID: list[int] = []
QUESTION: Any = {"messages": [("user", "Pay.")]}


@remit.agent(data_risk=remit.risk(allows="read_data", asks="others"))
def desk() -> None:
    """Ask about payments."""


@tool
@remit.span_type("graph:transfer", data_risk=PAYS)
def decorated(euros: int) -> str:
    """Move money."""
    PAID.append(euros)
    return f"paid {euros}"


@tool
def plain(euros: int) -> str:
    """Move money."""
    PAID.append(euros)
    return f"paid {euros}"


@tool
@remit.span_type("graph:with_runtime", data_risk=PAYS)
def with_runtime(euros: int, runtime: ToolRuntime) -> str:
    """Move money, and look at the state."""
    PAID.append(euros)
    return f"paid {euros} after {len(runtime.state['messages'])} messages"


@remit.span_type("graph:pay_part", data_risk=PAYS)
def pay_part(euros: int) -> None:
    """Move money."""
    PAID.append(euros)


@tool
def twice(euros: int) -> str:
    """Move money twice, although one asked step a tool is advised."""
    pay_part(euros)
    pay_part(euros + 1)
    return "paid twice"


TOOLS = {"decorated": decorated, "plain": plain, "with_runtime": with_runtime, "twice": twice}


@pytest.fixture(autouse=True)
def _nothing_paid() -> None:
    """Forget earlier payments."""
    PAID.clear()


class Graph:
    """An agent that calls one tool, some times in one message."""

    def __init__(self, name: str, how: str, calls: Sequence[int] = (5,)) -> None:
        """Make the graph, with its own thread."""
        risks = {name: remit.risk(forbids="others")} if name == "twice" else {}
        risks |= {name: PAYS} if name == "plain" else {}
        turns = [Turn(calls=tuple((name, {"euros": euros}) for euros in calls)), DONE]
        self.agent: Any = create_agent(
            Scripted(turns=turns),
            [TOOLS[name]],
            middleware=[RemitTools([TOOLS[name]], risks)],
            checkpointer=InMemorySaver(),
        )
        self._how = how
        self.config: Any = {"configurable": {"thread_id": "1"}, "callbacks": [RemitHandler()]}

    def invoke(self, given: object) -> dict[str, Any]:
        """Run the graph to its end or to its next interrupt."""
        if self._how == "sync":
            return self.agent.invoke(given, self.config)  # type: ignore[no-any-return]
        return asyncio.run(self.agent.ainvoke(given, self.config))

    def asked(self, given: object = QUESTION) -> list[Any]:
        """Run the graph to its next interrupts, and return them."""
        return list(self.invoke(given)["__interrupt__"])


def yes(question: Any) -> dict[str, object]:
    """Return the answer to a question."""
    return {"approve": True, "by": "dana", "seal": question.value["seal"]}


def asks(recorder: RecordingSink) -> list[object]:
    """Return how the questions ended."""
    return [span.payload["decision"] for span in recorder.spans() if span.name == "remit:answered"]


CASES = [
    (name, how) for name in ("decorated", "plain", "with_runtime") for how in ("sync", "async")
]


@each(("name", "how"), CASES)
def test_a_graph_pauses_and_goes_on_with_the_yes(name: str, how: str) -> None:
    """In the run that was left open."""
    PAID.clear()
    with isolated(on_violation="deny", approver=by_interrupt) as recorder:
        graph = Graph(name, how)
        with desk.run() as run:
            (question,) = graph.asked()
        assert question.value["arguments"]["euros"] == 5
        assert question.value["words"] == ["financial_transactions"]
        assert not PAID
        with desk.run(resume=run.key):
            graph.invoke(Command(resume=yes(question)))
    assert PAID == [5]
    assert asks(recorder) == ["approved"]
    # The server uses `how` to end the wait when the conversation gets new input.
    assert [span.payload["how"] for span in recorder.spans("remit:asked")] == ["interrupt"]


@each(("name", "how"), CASES)
def test_a_no_is_the_result_of_the_tool(name: str, how: str) -> None:
    """The model reads the reason."""
    PAID.clear()
    with isolated(on_violation="deny", approver=by_interrupt), desk.run():
        graph = Graph(name, how)
        (question,) = graph.asked()
        answer = {"approve": False, "by": "dana", "why": "too much", "seal": question.value["seal"]}
        messages = graph.invoke(Command(resume=answer))["messages"]
    assert not PAID
    (told,) = (message for message in messages if isinstance(message, ToolMessage))
    assert "A person refused this step" in str(told.content)
    assert "too much" in str(told.content)


@each(("name", "how"), [("decorated", "sync"), ("plain", "async")])
def test_arguments_that_are_changed_in_the_pause_are_asked_about_again(name: str, how: str) -> None:
    """The old yes does not let the new payment run."""
    PAID.clear()
    with isolated(on_violation="deny", approver=by_interrupt), desk.run():
        graph = Graph(name, how)
        (question,) = graph.asked()
        state = graph.agent.get_state(graph.config)
        message = state.values["messages"][-1]
        call = {**message.tool_calls[0], "args": {"euros": 9999}}
        changed = AIMessage("", id=message.id, tool_calls=[call])
        graph.agent.update_state(graph.config, {"messages": [changed]}, as_node="model")
        (again,) = graph.asked(Command(resume=yes(question)))
        assert again.value["arguments"]["euros"] == 9999
        assert not PAID
        graph.invoke(Command(resume=yes(again)))
    assert PAID == [9999]


def test_two_calls_in_one_message_are_two_questions() -> None:
    """Each answer belongs to its call."""
    with isolated(on_violation="deny", approver=by_interrupt), desk.run():
        graph = Graph("decorated", "sync", (5, 7))
        questions = graph.asked()
        assert len(questions) == 2
        graph.invoke(Command(resume={question.id: yes(question) for question in questions}))
    assert sorted(PAID) == [5, 7]


def test_a_node_that_runs_again_with_old_answers_pays_no_more_than_it_was_told() -> None:
    """A tool with two asked steps gets the first answer again."""
    with isolated(on_violation="deny", approver=by_interrupt) as recorder, desk.run():
        graph = Graph("twice", "sync")
        (first,) = graph.asked()
        questions = [first]
        for _ in range(3):
            result = graph.invoke(Command(resume=yes(questions[-1])))
            if "__interrupt__" not in result:
                break
            questions += result["__interrupt__"]
    assert len(PAID) <= len(questions)
    assert PAID.count(5) == 1
    assert asks(recorder)


@each("answer", [True, "yes", {"approve": True, "by": "dana"}, {"approve": True, "seal": "x" * 64}])
def test_an_answer_without_its_seal_lets_nothing_run(answer: object) -> None:
    """The graph may be paused again; the run has no more answers than questions."""
    PAID.clear()
    with isolated(on_violation="deny", approver=by_interrupt) as recorder, desk.run():
        graph = Graph("decorated", "sync")
        graph.asked()
        graph.invoke(Command(resume=answer))
    assert not PAID
    assert len(recorder.spans("remit:answered")) <= len(recorder.spans("remit:asked")) == 1


@each(
    ("more", "why"),
    [
        ({"approve": "yes"}, "saw approve='yes'; expected True or False"),
        ({"by": None}, "the answer names no person: pass `by`"),
    ],
)
def test_an_incomplete_answer_refuses_and_says_what_is_missing(
    more: dict[str, object], why: str
) -> None:
    """The refusal is recorded without the name of a person."""
    PAID.clear()
    with isolated(on_violation="deny", approver=by_interrupt) as recorder, desk.run():
        graph = Graph("decorated", "sync")
        (question,) = graph.asked()
        graph.invoke(Command(resume=yes(question) | more))
    assert not PAID
    (answer,) = recorder.spans("remit:answered")
    assert (answer.payload["by"], answer.payload["why"]) == (None, why)


def test_the_record_of_a_question_of_the_graph_is_as_declared() -> None:
    """Its value may be any JSON, and a process that continues may not know the question."""

    def confirm(state: MessagesState) -> dict[str, object]:
        question = {"euros": len(state["messages"]), "seal": "of the document"}
        return {"messages": [("assistant", interrupt(question))]}

    builder = StateGraph(MessagesState)
    builder.add_node("confirm", confirm)
    builder.add_edge(START, "confirm")
    graph = builder.compile(checkpointer=InMemorySaver())
    spans: list[Any] = []
    inputs: list[Any] = [QUESTION, Command(resume="yes")]
    for given in inputs:
        config: Any = {"configurable": {"thread_id": "1"}, "callbacks": [RemitHandler()]}
        with isolated() as recorder, desk.run():
            graph.invoke(given, config)
        spans += [*recorder.spans("remit:asked"), *recorder.spans("remit:answered")]

    registered: Any = desk.registration()
    types = registered["agent_schema_version"]["span_type_schemas"]
    schemas = {entry["name"]: entry["params_schema"] for entry in types}
    assert [span.name for span in spans] == ["remit:asked", "remit:answered"]
    assert spans[1].payload["ticket"] is None
    for span in spans:
        jsonschema.validate(span.payload, schemas[span.name])
