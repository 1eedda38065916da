"""The steps of a run by their type, and a model call with what is beside it."""

from __future__ import annotations

import pytest

from remit.collector import Store
from tests.collecting import Api, World
from tests.conversing import Program, complete_and_failed, conversation, error, says
from tests.inside_collector import TypeCounts, run_ref_of, run_types
from tests.signing_in import signed_in
from tests.stores import on_each_store


@pytest.fixture
def world(store: Store) -> World:
    """Return a collector."""
    return World(store)


@pytest.fixture
def api(world: World) -> Api:
    """Return the view of an account's token."""
    return world.account()


def counted(world: World, run: str) -> dict[str, TypeCounts]:
    """Return the steps of a run by type."""
    with world.store.reading() as tx:
        ref = run_ref_of(tx, run)
        assert ref is not None
        return run_types(tx, ref)


@on_each_store
def test_steps_are_counted_by_type(world: World, api: Api) -> None:
    """Of one run, with times, failures, and what was redacted."""
    program = Program(api)
    redacted = {"token": {"$remit": "redacted", "rule": "name:token"}}
    program.step("desk:answer", program.root, 10, redacted)
    program.step("desk:answer", program.root, 30)
    failed = program.begin("desk:plain", program.root)
    program.wait(5)
    program.end(failed, error(), "failed")
    program.begin("desk:open", program.root)
    complete_and_failed(api)

    counts = counted(world, program.run)

    assert counts["desk:answer"] == TypeCounts("desk:answer", "Answer", 2, 2, 40_000, 0, 0, 1)
    assert counts["desk:plain"][2:] == (1, 1, 5_000, 1, 0, 0)
    assert counts["desk:open"][2:] == (1, 0, 0, 0, 0, 0)
    assert counts["remit:run"].steps == 1
    assert len(counts) == 4


def panel(world: World, run: str, span: str) -> str:
    """Return the panel of a model call as HTML."""
    return signed_in(world.store).get(f"/runs/{run}/spans/{span}/part").text


def test_the_panel_shows_what_is_new(world: World, api: Api) -> None:
    """The call before has the rest; a tool that was called is a link."""
    run, calls = conversation(api)
    html = panel(world, run, calls[-1])

    assert f'5 earlier messages, <a href="/runs/{run}?span={calls[1]}">' in html
    assert "My radio broke" not in html
    assert "I am paying back 63.90 euros now." in html
    assert ">its step</a>, 4.2 ms" in html
    assert "gap" not in panel(world, run, calls[0])


def test_the_panel_compares_whole_lists(world: World, api: Api) -> None:
    """Where each call records all of its messages."""
    program = Program(api)
    first = [says("user", "Hello?")]
    program.step("desk:chat", program.root, 5, {"messages": first}, {"result": "Hello."})
    second = [*first, says("assistant", "Hello."), says("user", "And now?")]
    span = program.step("desk:chat", program.root, 5, {"messages": second}, {"result": "Bye."})
    html = panel(world, program.run, span)

    assert "2 earlier messages" in html
    assert "Hello?" not in html
    assert "And now?" in html


def test_calls_in_the_nodes_of_a_graph_belong_together(world: World, api: Api) -> None:
    """LangChain's messages are new, or not, in the agent around the nodes."""
    program = Program(api)
    agent = program.begin("langchain:agent", program.root, {"agent_name": "a"})
    asked, answer = says("user", "Hello?"), says("assistant", "Hello.")
    call = ""
    for number, messages in enumerate(([asked], [says("user", "And now?")])):
        node = program.begin("langchain:chain", agent, {"chain_name": "node"})
        inputs = {"messages": messages, "omitted": {"count": 2 * number}}
        payload = {"operation": "chat", "model_name": "m", "inputs": inputs}
        call = program.step("langchain:llm", node, 5, payload, {"outputs": {"messages": [answer]}})
        program.end(node)

    assert "shown in the previous call" in panel(world, program.run, call)
