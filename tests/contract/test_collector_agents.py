"""Agents and ids: made, shown, listed, changed, retired, deleted while unused."""

from __future__ import annotations

from typing import Any

from remit.models.agent import Agent
from remit.testing import FakeClock
from tests.collecting import Api, Json, details, refusal
from tests.inside import partition_of
from tests.stores import on_each_store
from tests.subtests import each


def made(api: Api, **said: Json) -> dict[str, Any]:
    """Return a new agent."""
    return details(api.post("/agent", {"details": {"name": "A", **said}}))


@on_each_store
def test_an_agent_is_made_and_found(api: Api) -> None:
    """It is found by its id and by the client's own name of it."""
    agent = made(api, description="answers", external_identifier="desk:support", team_id="t1")

    assert agent["description"] == "answers"
    assert agent["status"] == "active"
    Agent.model_validate(agent)
    assert details(api.get(f"/agent/{agent['id']}")) == agent
    assert details(api.get("/agent/show", external_identifier="desk:support")) == agent
    assert details(api.get("/agent/show", agent_id=agent["id"])) == agent
    assert partition_of(agent["id"]) == partition_of(agent["account_id"])


@on_each_store
def test_a_client_may_choose_the_id(api: Api, clock: FakeClock) -> None:
    """An equal creation answers the agent as it is now, another one is rejected."""
    chosen = details(api.post("/pfid/generate"))["pfids"][0]
    first = made(api, id=chosen)
    assert made(api, id=chosen) == first
    clock.advance(1)
    renamed = details(api.put(f"/agent/{chosen}", {"details": {"name": "renamed"}}))

    assert made(api, id=chosen) == renamed
    other = api.post("/agent", {"details": {"name": "B", "id": chosen}})
    assert refusal(other, 422)["errors"] == {"id": ["has already been taken"]}


@each(
    ("said", "field"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"name": "x", "description": 5}, "description"),
        ({"name": "x", "description": "a\x00"}, "description"),
        ({"name": "x", "id": "mine"}, "id"),
        ({"name": "x", "external_identifier": "y" * 1001}, "external_identifier"),
        ({"name": "x", "external_identifier": "\U0001f600" * 626}, "external_identifier"),
    ],
)
def test_a_wrong_field_of_an_agent_is_named(api: Api, said: dict[str, Any], field: str) -> None:
    """No agent is created."""
    assert list(refusal(api.post("/agent", {"details": said}), 422)["errors"]) == [field]
    assert len(api.get("/agent").json()["summaries"]) == 1


@on_each_store
def test_an_agent_is_changed_where_a_field_is_given(api: Api, clock: FakeClock) -> None:
    """An absent field stays, a null clears; the external identifier cannot be changed."""
    agent = made(api, description="d", team_id="t", external_identifier="e")
    clock.advance(1)
    said = {"name": "B", "team_id": None, "external_identifier": "f"}

    changed = details(api.put(f"/agent/{agent['id']}", {"details": said}))

    assert (changed["name"], changed["description"], changed["team_id"]) == ("B", "d", None)
    assert changed["external_identifier"] == "e"
    assert changed["updated_at"] > agent["updated_at"] == agent["inserted_at"]
    refusal(api.put(f"/agent/{agent['id']}", {"details": {"name": None}}), 422)


@on_each_store
def test_an_agent_that_ran_is_not_deleted(api: Api) -> None:
    """Its runs would hang in the air; one that never ran is gone for good."""
    unused = made(api, external_identifier="e")
    api.instance("active")
    api.instance("failed")

    assert details(api.http.delete(f"/api/v1/agent/{unused['id']}"))["id"] == unused["id"]
    refusal(api.get(f"/agent/{unused['id']}"), 404)
    made(api, external_identifier="e")
    used = refusal(api.http.delete(f"/api/v1/agent/{api.agent_id}"), 409)
    assert used["code"] == "invalid_action"


@on_each_store
def test_an_agent_counts_its_instances(api: Api) -> None:
    """The counts cover all states, in the detail view and in the list."""
    for status in ("pending", "active", "complete", "failed", "terminated"):
        api.instance(status)
    counts = {
        "total": 5,
        "pending": 1,
        "active": 1,
        "complete": 1,
        "failed": 1,
        "cancelled": 0,
        "terminated": 1,
        "finished": 3,
    }

    assert details(api.get(f"/agent/{api.agent_id}"))["instance_counts"] == counts
    (listed,) = api.get("/agent").json()["summaries"]
    assert listed["instance_counts"] == counts


def test_ids_are_made_in_the_accounts_partition_and_in_order(api: Api) -> None:
    """All different, each larger than the one before."""
    ids = details(api.post("/pfid/generate", {"count": 1000}))["pfids"]

    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
    assert {partition_of(one) for one in ids} == {partition_of(api.agent_id or "")}
