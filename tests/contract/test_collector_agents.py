"""Agents and ids: made, shown, listed, changed, retired, deleted while unused."""

from __future__ import annotations

from typing import Any

from remit.testing import FakeClock
from tests.collecting import Api, Json, details, refusal
from tests.inside import partition_of
from tests.stores import on_each_store


def made(api: Api, **said: Json) -> dict[str, Any]:
    """Return a new agent."""
    return details(api.post("/agent", {"details": {"name": "A", **said}}))


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
    named = api.instance("pending")
    ids += [named[name] for name in named if name.endswith("_id") or name == "id"]
    assert {partition_of(one) for one in ids} == {partition_of(api.agent_id or "")}
