"""Frameworks that pause for a person's yes, which comes in another process than the question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.processes import output_of, settings, start, told_by
from tests.served import Served, collector

GRAPH: Final = """
import json, sys
from pathlib import Path

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Send

import remit
from remit.integrations.langchain import RemitHandler, by_interrupt

remit.configure(on_violation="deny", approver=by_interrupt)
FOLDER = Path(sys.argv[1])


@remit.span_type(data_risk=remit.risk(allows="financial_transactions", forbids="others"))
def refund(euros):
    with (FOLDER / "paid").open("a") as paid:
        paid.write(f"{euros}\\n")


def pay(state):
    try:
        refund(state["euros"])
    except remit.errors.DeniedError as error:
        return {"messages": [("assistant", error.why)]}
    return {"messages": [("assistant", f"paid {state['euros']}")]}


def spread(state):
    return [Send("pay", {"euros": int(euros)}) for euros in state["messages"][0].content.split()]


builder = StateGraph(MessagesState)
builder.add_node("pay", pay)
builder.add_conditional_edges(START, spread, ["pay"])
HANDLER = RemitHandler(remits={"desk": remit.risk(allows="read_data", asks="others")})
CONFIG = {"callbacks": [HANDLER], "configurable": {"thread_id": "t-1"}}


def go(given):
    with SqliteSaver.from_conn_string(str(FOLDER / "graph.db")) as saver:
        graph = builder.compile(name="desk", checkpointer=saver)
        graph.invoke(given, CONFIG)
        state = graph.get_state(CONFIG)
        asked = {each.id: each.value for each in state.interrupts}
        (FOLDER / "asked").write_text(json.dumps(asked))
        print(" | ".join(each.content for each in state.values["messages"][1:]))
    remit.flush(60)


def answers(count, **more):
    asked = json.loads((FOLDER / "asked").read_text())
    ordered = sorted(asked.items(), key=lambda item: item[1]["arguments"]["euros"])[:count]
    answer = {"approve": True, "by": "dana"} | more
    return Command(resume={key: answer | {"seal": value["seal"]} for key, value in ordered})
"""


def run(program: str, served: Served, folder: Path, before: str = GRAPH) -> str:
    """Run a process with *program* below *before*; return what it printed."""
    environ = settings(folder, served.url, served.token)
    process = start(before + program, environ, folder)
    out, errors = output_of(process)
    assert process.returncode == 0, errors
    return out.strip()


def record(served: Served, folder: Path) -> tuple[list[Any], list[Any]]:
    """Return the questions and answers of the only run: amounts, and decisions with a person."""
    environ = settings(folder, served.url, served.token)
    (one,) = json.loads(told_by(start(["-m", "remit", "runs", "list", "--json"], environ))[0])
    assert one["status"] == "complete"
    spans = served.api.spans(one["run"]["id"])
    payloads = {
        name: [each["payload"] for each in spans if each["schema_name"] == name]
        for name in ("remit:asked", "remit:answered")
    }
    asked = [
        (each["ticket"], each["arguments"].get("inputs", each["arguments"])["euros"])
        for each in payloads["remit:asked"]
    ]
    amounts = dict(asked)
    answered = [
        (amounts.get(each["ticket"]), each["decision"], each["by"])
        for each in payloads["remit:answered"]
    ]
    return sorted(euros for _, euros in asked), sorted(answered)


def paid(folder: Path) -> list[int]:
    """Return the amounts that were paid."""
    file = folder / "paid"
    return sorted(map(int, file.read_text().split())) if file.exists() else []


@pytest.mark.parametrize("approve", [True, False], ids=["yes", "no"])
def test_a_graph_records_a_question_and_its_answer_once(tmp_path: Path, approve: bool) -> None:
    """The node runs again in the second process, and asks again what is answered."""
    with collector(tmp_path) as served:
        run('go({"messages": [("user", "40")]})\n', served, tmp_path)
        assert paid(tmp_path) == []
        run(f"go(answers(1, approve={approve}, why='because'))\n", served, tmp_path)
        assert paid(tmp_path) == ([40] if approve else [])
        decision = "approved" if approve else "refused"
        assert record(served, tmp_path) == ([40], [(40, decision, "dana")])


def test_a_question_that_stays_open_in_a_second_process_is_recorded_once(tmp_path: Path) -> None:
    """Two payments in one message are answered one after the other, each in its own process."""
    with collector(tmp_path) as served:
        run('go({"messages": [("user", "40 50")]})\n', served, tmp_path)
        run("go(answers(1))\n", served, tmp_path)
        assert paid(tmp_path) == [40]
        run("go(answers(1))\n", served, tmp_path)
        assert paid(tmp_path) == [40, 50]
        asked = [(40, "approved", "dana"), (50, "approved", "dana")]
        assert record(served, tmp_path) == ([40, 50], asked)


DEFERRING: Final = """
import json, sys
from pathlib import Path

from pydantic_ai import (
    Agent, DeferredToolRequests, DeferredToolResults, ModelMessagesTypeAdapter, ToolApproved,
    ToolDenied,
)
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel

import remit
from remit.integrations.pydantic_ai import Remit, by_deferral

remit.configure(on_violation="deny", approver=by_deferral)
FOLDER = Path(sys.argv[1])
AMOUNTS = (FOLDER / "amounts").read_text().split()


def refund(euros: int) -> str:
    with (FOLDER / "paid").open("a") as paid:
        paid.write(f"{euros}\\n")
    return f"paid {euros}"


def model(messages, info):
    if len(messages) > 1:
        return ModelResponse([TextPart("Done.")])
    return ModelResponse([ToolCallPart("refund", {"euros": int(each)}) for each in AMOUNTS])


clerk = Agent(
    FunctionModel(model),
    name="desk",
    tools=[refund],
    output_type=[str, DeferredToolRequests],
    capabilities=[
        Remit(
            data_risk=remit.risk(allows="read_data", asks="others"),
            risks={"refund": remit.risk(allows="financial_transactions", forbids="others")},
        )
    ],
)


def go(**given):
    result = clerk.run_sync(**given)
    (FOLDER / "messages").write_bytes(result.all_messages_json())
    if isinstance(result.output, DeferredToolRequests):
        (FOLDER / "asked").write_text(json.dumps(result.output.metadata))
    remit.flush(60)


def answer(decision):
    asked = json.loads((FOLDER / "asked").read_text())
    go(
        message_history=ModelMessagesTypeAdapter.validate_json((FOLDER / "messages").read_bytes()),
        deferred_tool_results=DeferredToolResults(
            approvals={call: decision for call in asked},
            metadata={call: value | {"by": "dana"} for call, value in asked.items()},
        ),
    )
"""


@pytest.mark.parametrize("decision", ["ToolApproved()", "ToolDenied('because')"], ids=["yes", "no"])
def test_a_deferred_tool_is_recorded_once(tmp_path: Path, decision: str) -> None:
    """The tool is called again in the second process."""
    (tmp_path / "amounts").write_text("40 50")
    with collector(tmp_path) as served:
        run('go(user_prompt="Pay.", conversation_id="t-1")\n', served, tmp_path, DEFERRING)
        assert paid(tmp_path) == []
        run(f"answer({decision})\n", served, tmp_path, DEFERRING)
        is_approved = decision == "ToolApproved()"
        assert paid(tmp_path) == ([40, 50] if is_approved else [])
        word = "approved" if is_approved else "refused"
        expected = [(40, word, "dana"), (50, word, "dana")]
        assert record(served, tmp_path) == ([40, 50], expected)
