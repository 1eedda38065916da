"""Accounts, environments, deployments, versions: made, found, changed, deleted while unused."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from remit.collector.models.deployment import AgentDeployment, AgentSchemaVersion, AgentVersion
from remit.testing import FakeClock
from tests.collecting import NOBODY, SCHEMA, Api, Json, World, details, refusal
from tests.stores import on_each_store
from tests.subtests import each


def made(api: Api, path: str, **said: Json) -> dict[str, Any]:
    """Return a new thing."""
    return details(api.post(path, {"details": said}))


def listed(api: Api, path: str, **query: Json) -> list[str]:
    """Return the ids of what is listed."""
    answer = api.get(path, **query)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["summaries"]]


def deleted(api: Api, path: str) -> dict[str, Any]:
    """Delete something and return it."""
    return details(api.http.delete(f"/api/v1{path}"))


@on_each_store
@each("path", ["/environment", "/agent_deployment"])
def test_a_chosen_id_is_taken_once(world: World, path: str) -> None:
    """An equal creation answers the first result, another one is rejected."""
    api = world.account()
    chosen = details(api.post("/pfid/generate"))["pfids"][0]
    place = {"agent_id": api.agent_id, "environment_id": listed(api, "/environment")[0]}
    said = {"name": "staging"} if path == "/environment" else place
    first = made(api, path, id=chosen, **said)
    other, foreign = world.account(), world.foreign()

    assert first["id"] == chosen
    assert made(api, path, id=chosen, **said) == first
    theirs = {"agent_id": foreign.agent_id, "environment_id": listed(foreign, "/environment")[0]}
    ours = {"agent_id": other.agent_id, "environment_id": place["environment_id"]}
    for asking, body in ((foreign, theirs), (other, ours)):
        again = {"name": "other"} if path == "/environment" else body
        answer = asking.post(path, {"details": {"id": chosen, **again}})
        assert refusal(answer, 422)["errors"] == {"id": ["has already been taken"]}
    refusal(api.post(path, {"details": {"id": "mine", **said}}), 422)


@on_each_store
def test_a_deployment_is_made_by_a_registration_or_by_hand(api: Api) -> None:
    """There is one for each agent and environment."""
    run = api.instance("active")
    environment = made(api, "/environment", name="staging")
    by_hand = made(
        api, "/agent_deployment", agent_id=api.agent_id, environment_id=environment["id"]
    )
    other = api.instance("pending", environment_id=environment["id"])

    assert other["agent_deployment_id"] == by_hand["id"]
    assert listed(api, "/agent_deployment", agent_id=api.agent_id) == [
        run["agent_deployment_id"],
        by_hand["id"],
    ]
    assert listed(api, "/agent_deployment", environment_id=environment["id"]) == [by_hand["id"]]
    assert listed(api, "/agent_deployment", agent_id=NOBODY) == []
    again = {"agent_id": api.agent_id, "environment_id": run["environment_id"]}
    answer = refusal(api.post("/agent_deployment", {"details": again}), 422)
    assert answer["errors"] == {"environment_id": ["has already been taken"]}
    AgentDeployment.model_validate(by_hand)


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


@on_each_store
def test_versions_are_found_again_by_their_external_identifier(api: Api) -> None:
    """A registration or a request creates them; a known version is not changed."""
    run = api.instance("active")
    said = {"agent_id": api.agent_id, "external_identifier": "v1"}
    environment = {"runtime": "cpython@3.12", "agent_sdk": ["x@1"]}
    new = made(api, "/agent_version", **{**said, "external_identifier": "v2"}, name="Two")
    described = made(api, "/agent_version", agent_id=api.agent_id, runtime_environment=environment)

    found = made(api, "/agent_version", **said, name="other")
    assert (found["id"], found["name"]) == (run["agent_version_id"], "One")
    assert details(api.get(f"/agent_version/{found['id']}")) == found
    assert described["runtime_environment"] == environment
    version = {"external_identifier": "v2"}
    assert api.instance("pending", agent_version=version)["agent_version_id"] == new["id"]
    assert listed(api, "/agent_version", agent_id=api.agent_id) == [
        found["id"],
        new["id"],
        described["id"],
    ]
    assert listed(api, "/agent_version", external_identifier="v2") == [new["id"]]
    for one in (found, described):
        AgentVersion.model_validate(one)
    refusal(api.post("/agent_version", {"details": {"agent_id": NOBODY}}), 404)


@on_each_store
def test_schema_versions_are_found_again_and_read_in_both_forms(api: Api) -> None:
    """The list leaves the schemas out."""
    api.instance("active")
    (first,) = listed(api, "/agent_schema_version", agent_id=api.agent_id)
    older = made(
        api,
        "/agent_schema_version",
        agent_id=api.agent_id,
        external_identifier="old",
        span_schemas={"a": {"type": "object"}, "b": {}},
        span_result_schemas={"a": {"type": "string"}},
        quality_schema={"type": "object"},
    )

    again = made(
        api, "/agent_schema_version", agent_id=api.agent_id, **{**SCHEMA, "span_schemas": {}}
    )
    assert again["id"] == first
    shown = details(api.get(f"/agent_schema_version/{first}"))
    assert [one["name"] for one in shown["span_type_schemas"]] == ["desk:answer", "desk:plain"]
    assert shown["span_schemas"] == {"desk:answer": {"type": "object"}, "desk:plain": {}}
    assert older["span_schemas"] == {"a": {"type": "object"}, "b": {}}
    assert older["span_result_schemas"] == {"a": {"type": "string"}, "b": {}}
    assert [one["name"] for one in older["quality_schemas"]] == ["quality"]
    summary = api.get("/agent_schema_version", sorting="-id").json()["summaries"][0]
    assert summary == {name: older[name] for name in summary}
    assert "span_type_schemas" not in summary
    AgentSchemaVersion.model_validate(older)


@on_each_store
@each(
    ("path", "field"),
    [
        ("/account/{}", "account"),
        ("/environment/{}", "environment"),
        ("/agent_deployment/{}", "agent_deployment"),
        ("/agent_version/{}", "agent_version"),
        ("/agent_schema_version/{}", "agent_schema_version"),
        ("/api_token/{}", "api_token"),
        ("/admin_user/{}", "admin_user"),
        ("/admin_user_invite/{}", "admin_user_invite"),
        ("/risk_profile/{}", "risk_profile"),
    ],
)
@each("what", [NOBODY, "x", "%00"])
def test_what_does_not_exist_is_not_found(api: Api, path: str, field: str, what: str) -> None:
    """The id may be of any form; the answer names the kind of thing."""
    answer = refusal(api.get(path.format(what)), 404)

    assert (answer["code"], answer["message"]) == ("not_found", f"{field} not found")


@on_each_store
@each("place", ["body", "details", "header", "query"])
@each("path", ["/environment", "/agent_deployment", "/agent_version", "/agent_schema_version"])
def test_a_key_makes_one_of_each(api: Api, path: str, place: str) -> None:
    """The key may be in any place; a repetition gets the first answer."""
    environment = made(api, "/environment", name="staging")["id"]
    said: dict[str, Json] = {
        "/environment": {"name": "x"},
        "/agent_deployment": {"agent_id": api.agent_id, "environment_id": environment},
    }.get(path, {"agent_id": api.agent_id})
    before, key = len(listed(api, path)), f"key-{uuid4().hex}"

    def send() -> dict[str, Any]:
        body: dict[str, Json] = {"details": {**said}}
        where: dict[str, Json] = {}
        if place == "body":
            body["idempotency_key"] = key
        elif place == "details":
            body["details"]["idempotency_key"] = key
        elif place == "header":
            where["headers"] = {"Idempotency-Key": key}
        else:
            where["params"] = {"idempotency_key": key}
        return details(api.post(path, body, **where))

    assert send() == send()
    assert len(listed(api, path)) == before + 1


@on_each_store
def test_every_resource_can_be_made_and_read_in_bulk(api: Api) -> None:
    """Items are flat or have details, which win; outputs are the endpoints' envelopes."""
    outputs = api.bulk(
        {"_type": "environments/create", "idempotency_key": "key-env1", "name": "a"},
        {
            "_type": "environments/create",
            "idempotency_key": "key-env2",
            "name": "b",
            "details": {"name": "c"},
        },
        {"_type": "environments/list", "idempotency_key": "key-list", "sorting": "-name"},
        {
            "_type": "agent_versions/create",
            "idempotency_key": "key-vers",
            "details": {"agent_id": api.agent_id, "external_identifier": "v7"},
        },
        {"_type": "accounts/list", "idempotency_key": "key-acco"},
        {"_type": "api_tokens/create", "idempotency_key": "key-toke", "token_scope": "account"},
        {"_type": "pfids/generate", "idempotency_key": "key-pfid", "count": 2},
        {"_type": "environments/show", "idempotency_key": "key-none", "environment_id": NOBODY},
        {"_type": "environments/list", "idempotency_key": "key-late"},
    )

    assert outputs["key-env1"]["details"]["name"] == "a"
    assert outputs["key-env2"]["details"]["name"] == "c"
    assert [one["name"] for one in outputs["key-list"]["summaries"]] == ["default", "c", "a"]
    assert outputs["key-vers"]["details"]["external_identifier"] == "v7"
    assert len(outputs["key-acco"]["summaries"]) == 1
    assert outputs["key-toke"]["token"].startswith("remit_")
    assert len(outputs["key-pfid"]["details"]["pfids"]) == 2
    assert (outputs["key-none"]["status"], outputs["key-none"]["code"]) == ("error", "not_found")
    assert "key-late" not in outputs
    shown = {
        "_type": "environments/show",
        "environment_id": outputs["key-env1"]["details"]["id"],
    }
    (again,) = api.bulk(shown).values()
    assert again == outputs["key-env1"]
