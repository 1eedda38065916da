"""Accounts, environments, deployments, versions: made, found, changed, deleted while unused."""

from __future__ import annotations

from typing import Any

from remit.testing import FakeClock
from tests.collecting import NOBODY, Api, Json, World, details, refusal
from tests.stores import on_each_store


def made(api: Api, path: str, **said: Json) -> dict[str, Any]:
    """Return a new thing."""
    return details(api.post(path, {"details": said}))


@on_each_store
def test_a_deployment_shows_and_pins_a_version(world: World, clock: FakeClock) -> None:
    """A registration pins the newest, unless it says not to; another agent's version is none."""
    api, other = world.account(), world.account()
    run = api.instance("active")
    path = f"/agent_deployment/{run['agent_deployment_id']}"
    assert details(api.get(path))["current_version_id"] == run["agent_version_id"]
    clock.advance(1)
    second = made(api, "/agent_version", agent_id=api.agent_id, external_identifier="v2")
    foreign = made(other, "/agent_version", agent_id=other.agent_id)

    api.instance(
        "pending", agent_version={"external_identifier": "v2"}, update_current_version=False
    )
    assert details(api.get(path))["current_version_id"] == run["agent_version_id"]
    pinned = details(api.put(path, {"details": {"current_version_id": second["id"]}}))
    assert pinned["current_version_id"] == second["id"]
    assert details(api.put(path, {"details": {}})) == pinned
    for version in (foreign["id"], NOBODY):
        refusal(api.put(path, {"details": {"current_version_id": version}}), 404)
    cleared = details(api.put(path, {"details": {"current_version_id": None}}))
    assert cleared["current_version_id"] is None
    assert refusal(api.http.delete(f"/api/v1{path}"), 409)["code"] == "invalid_action"
    assert details(api.get(path)) == cleared
