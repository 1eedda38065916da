"""Registration: the properties of an instance, and the versions under which it runs."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest

from remit.collector import Settings, Store
from remit.testing import FakeClock
from tests.collecting import NOBODY, SCHEMA, Api, World, details, refusal
from tests.stores import on_each_store
from tests.subtests import each

Json: TypeAlias = Any


# Few enough characters, more bytes than PostgreSQL indexes; of all kinds, or it would press them.
TOO_LONG = "".join(chr(0x4E00 + 7 * number) for number in range(834))
LONGEST = TOO_LONG[:833]


@on_each_store
def test_other_content_under_a_known_identifier_is_a_schema_version_of_its_own(
    world: World, clock: FakeClock
) -> None:
    """Clients that never change their identifier keep working, and none decides for the others."""
    api = world.account()
    (prod,) = (row["id"] for row in api.get("/environment").json()["summaries"])
    dev = details(api.post("/environment", {"details": {"name": "dev"}}))["id"]
    changed = {**SCHEMA, "span_type_schemas": [{"name": "desk:answer", "params_schema": {}}]}
    tokens = [world.deployed(api, environment_id) for environment_id in (dev, prod)]

    runs: list[dict[str, Any]] = []
    for declared, (token, _) in zip((changed, SCHEMA), tokens, strict=True):
        clock.advance(1)
        runs.append(token.instance("active", agent_schema_version=declared))
        again = token.instance("active", agent_schema_version=declared)
        assert token.span(again["id"])["schema_title"] == token.span(runs[-1]["id"])["schema_title"]

    titles = [api.span(run["id"])["schema_title"] for run in runs]
    listed = api.get("/agent_schema_version", external_identifier="schema-1").json()["summaries"]
    assert titles == ["desk:answer", "Answer"]
    assert [row["environment_id"] for row in listed] == [dev, prod]
    assert [row["registered_by"] for row in listed] == [token_id for _, token_id in tokens]
    assert [row["inserted_at"] for row in listed] == [run["inserted_at"] for run in runs]
    assert len({row["content_hash"] for row in listed}) == 2


@each(
    ("declared", "title"),
    [
        ({"span_schemas": {"desk:answer": {}}, "span_result_schemas": {"desk:answer": {}}}, None),
        ({"span_type_schemas": [], "span_schemas": {"desk:answer": {}}}, None),
        (
            {
                "span_type_schemas": [
                    {
                        "name": "desk:answer",
                        "title": "New",
                        "params_schema": {},
                        "result_template": "x",
                    }
                ],
                "toolSchemas": {},
            },
            "New",
        ),
        ({}, None),
        ({"quality_schema": {"type": "object"}}, None),
        ({"quality_schemas": [{"name": "review", "schema": {}}]}, None),
    ],
    ids=["older maps", "both", "unknown keys", "nothing", "older quality", "qualities"],
)
def test_every_generation_of_schema_declaration_is_taken(
    api: Api, declared: dict[str, Any], title: str | None
) -> None:
    """A span of a type without a title shows the type's name."""
    made = api.instance("active", agent_schema_version=declared)

    assert api.span(made["id"])["schema_title"] == (title or "desk:answer")


@on_each_store
def test_an_external_identifier_belongs_to_one_instance_of_an_agent_and_environment(
    world: World,
) -> None:
    """Another agent may use it too, and the same agent in another environment."""
    one, other = world.account(), world.account()
    made = one.instance("pending", external_identifier="run-1")
    dev = details(one.post("/environment", {"details": {"name": "dev"}}))["id"]

    again = one.post("/agent_instance/register", one.registration(external_identifier="run-1"))

    assert made["external_identifier"] == "run-1"
    assert list(refusal(again, 422)["errors"]) == ["external_identifier"]
    assert other.instance("pending", external_identifier="run-1")["id"] != made["id"]
    elsewhere = one.instance("pending", external_identifier="run-1", environment_id=dev)
    assert elsewhere["environment_id"] == dev


@on_each_store
def test_the_longest_identifiers_are_kept(api: Api) -> None:
    """They may have any characters, and are found again in either database."""
    named = {
        "external_identifier": LONGEST,
        "agent_version": {"external_identifier": LONGEST},
        "agent_schema_version": {"external_identifier": LONGEST},
    }
    body = {"details": {"name": "Long", "external_identifier": LONGEST}}
    agent = details(api.post("/agent", body))
    made = api.instance("pending", agent_id=agent["id"], **named)

    again = api.instance(
        "pending", agent_id=agent["id"], **{**named, "external_identifier": "another"}
    )

    assert agent["external_identifier"] == made["external_identifier"] == LONGEST
    assert made["id"] != again["id"]
    assert made["agent_version_id"] == again["agent_version_id"]


@on_each_store
def test_local_mode_makes_an_agent_that_only_a_server_knows(store: Store) -> None:
    """A program that is set up for a server runs without it."""
    api = World(store, settings=Settings(create_agents=True)).account()
    api.agent_id = NOBODY

    made = api.instance("pending")

    assert made["agent_id"] == NOBODY
    assert details(api.get(f"/agent/{NOBODY}"))["name"] == "One"
    answer = api.post("/agent_instance/register", {**api.registration(), "agent_id": "desk"})
    refusal(answer, 404)


def named(name: str) -> dict[str, Json]:
    """Return the fields of a registration by code whose agent has this name."""
    return {"agent_version": {"external_identifier": f"v-{name}", "name": name}}


@on_each_store
def test_the_agent_of_a_new_token_takes_the_name_that_its_code_gives(world: World) -> None:
    """It does so at its first registration."""
    api, owner = world.deployment("app1:bot1"), world.account()
    shown = details(owner.get("/agent/show", external_identifier="app1:bot1"))
    assert shown["name"] == "app1:bot1"

    first = api.post("/agent_instance/register", api.registration(**named("Bot 1"))).json()
    assert first["agent"]["name"] == "Bot 1"
    api.instance(**named("Bot 2"))
    assert details(owner.get(f"/agent/{shown['id']}"))["name"] == "Bot 1"


@pytest.mark.parametrize("name", ["Chosen", "app1:bot1"])
def test_a_name_that_a_person_chose_stays(world: World, clock: FakeClock, name: str) -> None:
    """It may be the identifier."""
    api, owner = world.deployment("app1:bot1"), world.account()
    shown = details(owner.get("/agent/show", external_identifier="app1:bot1"))
    clock.advance(1)
    details(owner.put(f"/agent/{shown['id']}", {"details": {"name": name}}))

    api.instance(**named("Bot 1"))
    assert details(owner.get(f"/agent/{shown['id']}"))["name"] == name


def test_an_agent_that_was_made_over_the_api_keeps_its_name(world: World) -> None:
    """Its maker chose it."""
    owner = world.account()
    body = {"details": {"name": "app1:bot1", "external_identifier": "app1:bot1"}}
    agent_id = details(owner.post("/agent", body))["id"]
    owner.instance(agent_id=agent_id, **named("Bot 1"))
    assert details(owner.get(f"/agent/{agent_id}"))["name"] == "app1:bot1"


@each("name", [None, "", "x" * 1001])
def test_a_name_that_no_agent_can_have_is_not_taken(world: World, name: str | None) -> None:
    """A version may have it."""
    api, owner = world.deployment("app1:bot1"), world.account()
    api.instance(agent_version={"name": name})
    shown = details(owner.get("/agent/show", external_identifier="app1:bot1"))
    assert shown["name"] == "app1:bot1"


def by_identifier(registration: Json, identifier: str = "schema-1") -> Json:
    """Return a registration with the identifier of its schema version alone."""
    schema = {"external_identifier": identifier}
    return {**registration, "agent_schema_version": schema, "schema_kept": True}


@on_each_store
def test_many_runs_are_registered_started_and_finished_in_one_request(api: Api) -> None:
    """As if each operation were alone: a refused one stops the rest and leaves nothing."""
    api.post("/agent_instance/register", api.registration())
    items = [
        {**by_identifier(api.registration()), "_type": "agent_instances/register",
         "external_identifier": f"run-{number}", "idempotency_key": f"reg-0000000{number}"}
        for number in range(4)
    ]  # fmt: skip
    items[2]["external_identifier"] = "run-1"
    outputs = api.post("/bulk", {"items": items}).json()["outputs"]
    assert [output["status"] for output in outputs.values()] == ["success", "success", "error"]
    ids = [output["details"]["id"] for output in outputs.values() if "details" in output]
    steps = [
        {"_type": f"agent_instances/{step}", "agent_instance_id": each,
         "idempotency_key": f"{step}-{each}"}
        for step in ("start", "finish") for each in ids
    ]  # fmt: skip
    outputs = api.post("/bulk", {"items": steps}).json()["outputs"]
    assert [output["details"]["status"] for output in outputs.values()] == [
        "active", "active", "complete", "complete",
    ]  # fmt: skip
    again = api.post("/bulk", {"items": steps}).json()["outputs"]
    assert again.keys() == outputs.keys()
    assert [output["details"]["status"] for output in again.values()] == ["complete"] * 4
    assert [api.shown(each)["status"] for each in ids] == ["complete"] * 2


@on_each_store
def test_an_id_is_chosen_once_also_within_a_request(api: Api) -> None:
    """An equal registration answers the first result; a step on it sees what those before did."""
    (chosen,) = details(api.post("/pfid/generate", {"count": 1}))["pfids"]
    registration = {**api.registration(id=chosen), "_type": "agent_instances/register"}
    start, finish = (
        {"_type": f"agent_instances/{step}", "agent_instance_id": chosen}
        for step in ("start", "finish")
    )

    first, equal = api.bulk(registration, registration).values()
    steps = list(api.bulk(start, finish, finish, start).values())

    assert first["details"] == equal["details"]
    assert [step["status"] for step in steps] == ["success", "success", "error"]
    assert api.shown(chosen)["status"] == "complete"
