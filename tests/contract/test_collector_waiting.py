"""Runs that wait for a person's answer: counted, listed, found, and ended by new input."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.collecting import Api, Json, World, details, refusal
from tests.inside_collector import root_id
from tests.stores import on_each_store

RUNS: Final = "/api/remit/v1/runs"
WAITING: Final = "/api/remit/v1/waiting"


def begun(api: Api, thread: str | None = "thread-9", **said: Json) -> str:
    """Return the id of an active run of a conversation, with its root span."""
    run = str(api.instance("active")["id"])
    payload = {**({} if thread is None else {"conversation": thread}), **said}
    api.span(run, schema_name="remit:run", id=root_id(run), payload=payload, status="active")
    return run


def ask(api: Api, run: str, ticket: str = "1", how: str = "interrupt", **more: Json) -> None:
    """Record a question."""
    payload = {"asked": "May I?", "how": how, "ticket": ticket}
    api.span(run, schema_name="remit:asked", payload=payload, status="complete", **more)


def answer(api: Api, run: str, ticket: str = "1") -> None:
    """Record an answer."""
    payload = {"answer": "yes", "by": "ben", "ticket": ticket}
    api.span(run, schema_name="remit:answered", payload=payload, status="complete")


def listed(api: Api, **query: Json) -> list[str]:
    """Return the ids of the runs that a query finds."""
    response = api.http.get(RUNS, params=query)
    assert response.status_code == 200, response.text
    return [run["id"] for run in response.json()["runs"]]


def shown(api: Api, run: str) -> dict[str, Any]:
    """Return a run."""
    return details(api.http.get(f"/api/v1/agent_instance/{run}"))


def find(api: Api, **query: Json) -> Any:
    """Return the response to a search for a waiting run."""
    return api.http.get(WAITING, params={"agent_id": api.agent_id, **query})


@on_each_store
def test_a_run_waits_while_it_has_more_questions_than_answers(api: Api) -> None:
    """Whichever arrives first; it is listed, and found by agent and conversation."""
    run = begun(api)
    other = begun(api, "thread-1")
    refusal(find(api, conversation="thread-9"), 404)
    ask(api, run)
    ask(api, run, "2")
    answer(api, other)
    assert listed(api, status="waiting") == [run]
    assert set(listed(api, status="active")) == {run, other}
    assert details(find(api, conversation="thread-9"))["id"] == run
    refusal(find(api, conversation="thread-1"), 404)
    answer(api, run)
    assert (shown(api, run)["asked"], shown(api, run)["answered"]) == (2, 1)
    answer(api, run, "2")
    ask(api, other)
    assert listed(api, status="waiting") == []
    assert not {"undeclared"}.intersection(shown(api, run).get("flags") or ())


@on_each_store
def test_an_ended_run_does_not_wait(api: Api) -> None:
    """It keeps its question without an answer."""
    run = begun(api)
    ask(api, run)
    api.post(f"/agent_instance/{run}/finish", {"status": "complete"})
    assert listed(api, status="waiting") == []
    refusal(find(api, conversation="thread-9"), 404)


@on_each_store
def test_the_search_needs_an_agent_and_a_conversation(world: World) -> None:
    """Another account finds nothing."""
    api, foreign = world.account(), world.foreign()
    run = begun(api)
    ask(api, run)
    refusal(api.http.get(WAITING, params={"agent_id": api.agent_id}), 422)
    refusal(api.http.get(WAITING, params={"conversation": "thread-9", "agent": "nobody:at"}), 404)
    refusal(foreign.http.get(WAITING, params={"agent_id": api.agent_id, "conversation": "x"}), 404)


@on_each_store
@pytest.mark.parametrize("together", [True, False])
def test_new_input_ends_what_waited(api: Api, together: bool) -> None:
    """The conversation went on; a question of an approver goes on waiting."""
    run, approved, elsewhere = begun(api), begun(api), begun(api, "thread-1")
    ask(api, approved, how="approver")
    ask(api, elsewhere)
    new = str(api.instance("active")["id"])
    root: dict[str, Any] = api.span_body(
        new,
        schema_name="remit:run",
        id=root_id(new),
        status="active",
        payload={"conversation": "thread-9", "new_input": True},
    )
    if together:
        payload = {"asked": None, "how": "interrupt", "ticket": "1"}
        asked = api.span_body(run, schema_name="remit:asked", payload=payload, status="complete")
        api.bulk(*({"_type": "agent_spans/create", **span} for span in (asked, root)))
    else:
        ask(api, run)
        details(api.post("/agent_spans", root))
    assert shown(api, run)["status"] == "cancelled"
    assert {shown(api, each)["status"] for each in (approved, elsewhere, new)} == {"active"}
    span = details(api.http.get(f"/api/v1/agent_spans/{root_id(run)}"))
    assert span["status"] == "cancelled"
    assert span["result_payload"] == {"reason": "the conversation went on", "status": "cancelled"}
    assert shown(api, run)["span_counts"]["active"] == 0
    counts = api.http.get("/api/remit/v1/counts", params={"of": "runs", "by": "status"}).json()
    assert {group["status"]: group["runs"] for group in counts["counts"]} == {
        "active": 3,
        "cancelled": 1,
    }


@on_each_store
def test_a_run_without_new_input_ends_nothing(api: Api) -> None:
    """A run of another part of the program, or one that goes back in time."""
    run = begun(api)
    ask(api, run)
    begun(api)
    assert listed(api, status="waiting") == [run]
