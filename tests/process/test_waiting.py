"""A LangGraph program that waits for a person's answer, which comes in another process."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any, Final

import pytest

from tests.processes import output_of, settings, start, told_by
from tests.served import Served, collector

PROGRAM: Final = """
import os, signal, sys

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

import remit
from remit.integrations.langchain import RemitHandler


def answer(state):
    question = state["messages"][-1].content
    if question.startswith("Refund"):
        question = interrupt({"action": "refund", "order": "A-7"})
    return {"messages": [("assistant", f"re: {question}")]}


builder = StateGraph(MessagesState)
builder.add_node("answer", answer)
builder.add_edge(START, "answer")


def config(thread, user):
    return {
        "callbacks": [RemitHandler()],
        "configurable": {"thread_id": thread},
        "metadata": {"user_id": user},
    }


def ask(thread, user, question):
    return graph.invoke({"messages": [("user", question)]}, config(thread, user))


with SqliteSaver.from_conn_string(sys.argv[1]) as saver:
    graph = builder.compile(name="desk", checkpointer=saver)
"""
"""Five lines are remit's: two imports, the handler, the user, and the last one of each process."""

ASKING: Final = """
    for turn in range(4):
        for number, user in enumerate(("ada", "ben", "ada")):
            last = turn == 3 and number == 1
            ask(f"thread-{number}", user, "Refund A-7" if last else f"question {turn}")
remit.flush(60)
"""
KILLED: Final = ASKING + "os.kill(os.getpid(), signal.SIGKILL)\n"
ANSWERING: Final = """
    state = graph.invoke(Command(resume="approved"), config("thread-1", "carla"))
    print(state["messages"][-1].content)
remit.flush(60)
"""
GOING_ON: Final = """
    ask("thread-1", "ben", "Never mind.")
remit.flush(60)
"""


def run(program: str, served: Served, folder: Path, code: int = 0) -> str:
    """Run the program with *program* below it; return what it printed."""
    environ = settings(folder, served.url, served.token)
    process = start(PROGRAM + program, environ, folder / "graph.db")
    out, errors = output_of(process)
    assert process.returncode == code, errors
    return out


def command(served: Served, folder: Path, *arguments: str) -> str:
    """Return what a command of remit prints."""
    environ = settings(folder, served.url, served.token)
    return told_by(start(["-m", "remit", *arguments], environ))[0]


def listed(served: Served, folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """Return the runs that `remit runs list` lists."""
    runs: list[dict[str, Any]] = json.loads(
        command(served, folder, "runs", "list", "--json", *arguments)
    )
    return runs


def questions(served: Served, run_id: str) -> list[dict[str, Any]]:
    """Return the spans of questions and answers of a run, in their order."""
    spans = served.api.spans(run_id)
    named = [each for each in spans if each["schema_name"] in {"remit:asked", "remit:answered"}]
    return sorted(named, key=lambda span: str(span["started_at"]))


@pytest.mark.parametrize("asking", [ASKING, KILLED], ids=["ended", "killed"])
def test_an_answer_goes_on_in_the_run_that_asked(tmp_path: Path, asking: str) -> None:
    """Three conversations of four turns, two users, and one question, without any wrapper."""
    with collector(tmp_path) as served:
        run(asking, served, tmp_path, -signal.SIGKILL if asking is KILLED else 0)
        assert len(listed(served, tmp_path)) == 12
        assert len(listed(served, tmp_path, "--conversation", "thread-2")) == 4
        assert len(listed(served, tmp_path, "--on-behalf-of", "ben")) == 4
        (waiting,) = listed(served, tmp_path, "--status", "waiting")
        assert (waiting["status"], waiting["run"]["status"]) == ("waiting", "active")
        run_id = waiting["run"]["id"]

        assert run(ANSWERING, served, tmp_path) == "re: approved\n"
        assert listed(served, tmp_path, "--status", "waiting") == []
        assert len(listed(served, tmp_path)) == 12
        (ended,) = [one for one in listed(served, tmp_path) if one["run"]["id"] == run_id]
        assert ended["status"] == "complete"

        asked, answered = questions(served, run_id)
        assert asked["payload"]["asked"] == {"action": "refund", "order": "A-7"}
        assert answered["payload"]["answer"] == "approved"
        assert answered["payload"]["by"] == "carla"
        assert answered["started_at"] > asked["started_at"]
        spans = served.api.spans(run_id)
        assert [each["schema_name"] for each in spans].count("remit:run") == 1
        assert "failed" not in {each["status"] for each in spans}
        shown = command(served, tmp_path, "runs", "show", waiting["run"]["external_identifier"])
        for text in ("refund", "approved", "carla"):
            assert text in shown


def test_a_conversation_that_goes_on_ends_the_run_that_waited(tmp_path: Path) -> None:
    """LangGraph drops the question, and the new input is a run of its own."""
    with collector(tmp_path) as served:
        run(ASKING, served, tmp_path)
        (waiting,) = listed(served, tmp_path, "--status", "waiting")
        run(GOING_ON, served, tmp_path)
        assert listed(served, tmp_path, "--status", "waiting") == []
        of_thread = listed(served, tmp_path, "--conversation", "thread-1")
        (ended,) = [each for each in of_thread if each["run"]["id"] == waiting["run"]["id"]]
        assert ended["status"] == "cancelled"
        assert len(of_thread) == 5


def test_a_server_that_finds_no_waiting_run_gets_one_of_its_own(tmp_path: Path) -> None:
    """In the same conversation, with its root span, as it would be without the question."""
    with collector(tmp_path) as served:
        run(ASKING, served, tmp_path)
        (waiting,) = listed(served, tmp_path, "--status", "waiting")
        served.api.post(f"/agent_instance/{waiting['run']['id']}/finish", {"status": "failed"})
        assert run(ANSWERING, served, tmp_path) == "re: approved\n"
        of_thread = listed(served, tmp_path, "--conversation", "thread-1")
        assert len(of_thread) == 5
        assert [each["status"] for each in of_thread].count("complete") == 4
        (own,) = (each for each in of_thread[:1])
        roots = [
            each
            for each in served.api.spans(own["run"]["id"])
            if each["schema_name"] == "remit:run"
        ]
        assert [each["status"] for each in roots] == ["complete"]
        assert roots[0]["payload"]["conversation"] == "thread-1"
