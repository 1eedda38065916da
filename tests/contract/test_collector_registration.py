"""Registration: the properties of an instance, and the versions under which it runs."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest
from dirty_equals import IsStr

from remit.collector import Settings, Store
from remit.models.agent_instance import AgentInstance
from remit.testing import FakeClock
from tests.collecting import NOBODY, SCHEMA, Api, World, details, refusal
from tests.inside import partition_of
from tests.stores import on_each_store
from tests.subtests import each

Json: TypeAlias = Any

ZERO_COUNTS = dict.fromkeys(
    ["total", "pending", "active", "complete", "failed", "cancelled", "finished"], 0
)

# Few enough characters, more bytes than PostgreSQL indexes; of all kinds, or it would press them.
TOO_LONG = "".join(chr(0x4E00 + 7 * number) for number in range(834))
LONGEST = TOO_LONG[:833]


@on_each_store
def test_a_registered_instance_is_pending_and_has_every_key(api: Api) -> None:
    """The keys are those that any published client requires; a later one finds its own too."""
    made = details(api.post("/agent_instance/register", api.registration()))

    assert made == {
        "type": "agent_instance",
        "id": IsStr(regex="[0-7][0-9a-hjkmnp-tv-z]{31}"),
        "account_id": IsStr,
        "agent_id": api.agent_id,
        "agent_version_id": IsStr,
        "environment_id": IsStr,
        "agent_deployment_id": IsStr,
        "status": "pending",
        "started_at": None,
        "finished_at": None,
        "termination_reason": None,
        "external_identifier": None,
        "purpose": "live",
        "caused_by": None,
        "inserted_at": IsStr(regex=r".{19}\.\d{6}Z"),
        "updated_at": made["inserted_at"],
        "risk_score": None,
        "span_counts": ZERO_COUNTS,
        "quality_payloads": {},
        "quality_summaries": {},
        "quality_errors": {},
        "quality_payload": None,
        "quality_summary": None,
    }
    AgentInstance.model_validate(made)
    assert {partition_of(made[name]) for name in made if name.endswith("id") and made[name]} - {
        None
    } == {partition_of(made["account_id"])}


@on_each_store
def test_the_detail_view_has_what_the_service_shows_there(api: Api) -> None:
    """What the collector does not work out is there and null."""
    made = api.instance("pending")

    assert api.shown(made["id"]) == {
        **made,
        "cost_breakdown": {"total_cost": None},
        "erased_at": None,
        "span_schema_counts": None,
    }


@on_each_store
def test_versions_are_found_again_by_external_identifier(api: Api) -> None:
    """The same identifiers give the same ids; other ones or none give new ones."""
    first = api.instance("pending")
    second = api.instance("pending")
    third = api.instance("pending", agent_version={"external_identifier": "v2"})
    unnamed = [api.instance("pending", agent_version={"name": "x"}) for _ in range(2)]

    assert first["agent_version_id"] == second["agent_version_id"]
    assert first["agent_deployment_id"] == third["agent_deployment_id"]
    versions = {made["agent_version_id"] for made in (first, third, *unnamed)}
    assert len(versions) == 4


@on_each_store
@each(
    ("said", "pinned"),
    [({}, 2), ({"update_current_version": True}, 2), ({"update_current_version": False}, 1)],
)
def test_a_registration_makes_its_version_the_current_one_unless_told_not_to(
    api: Api, store: Store, said: dict[str, bool], pinned: int
) -> None:
    """An evaluation of an old version must not become what the deployment runs."""
    first = api.instance("pending")
    second = api.instance("pending", agent_version={"external_identifier": "v2"}, **said)

    with store.reading() as tx:
        (deployment,) = tx.deployments(first["agent_id"])
    versions = {1: first["agent_version_id"], 2: second["agent_version_id"]}
    assert deployment.current_version_id == versions[pinned]


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
def test_a_client_may_choose_the_id(api: Api) -> None:
    """An equal registration for it answers the run as it is now, another one is rejected."""
    (chosen,) = details(api.post("/pfid/generate", {"count": 1}))["pfids"]
    body = api.registration(id=chosen)

    first = details(api.post("/agent_instance/register", body))
    started = details(api.post(f"/agent_instance/{chosen}/start", {}))
    equal = details(api.post("/agent_instance/register", {**body, "idempotency_key": "other"}))
    different = api.post("/agent_instance/register", {**body, "purpose": "eval"})

    assert first["id"] == chosen
    assert equal == started
    assert refusal(different, 422)["errors"] == {"id": ["has already been taken"]}


@each("chosen", ["mine", "", NOBODY.upper(), NOBODY + "0", 5])
def test_an_id_that_is_no_pfid_is_refused(api: Api, chosen: object) -> None:
    """The published command line refuses it too."""
    answer = refusal(api.post("/agent_instance/register", api.registration(id=chosen)), 422)

    assert list(answer["errors"]) == ["id"]


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
@each("purpose", ["live", "smoke_test", "eval"])
def test_the_purpose_is_kept_and_its_spans_show_it(api: Api, purpose: str) -> None:
    """Evaluations are told from real work by it."""
    made = api.instance("active", purpose=purpose)

    assert made["purpose"] == purpose
    assert api.span(made["id"])["purpose"] == purpose


@each(
    ("change", "field"),
    [
        ({"agent_version": None}, "agent_version"),
        ({"agent_version": []}, "agent_version"),
        ({"agent_version": {"name": 5}}, "agent_version.name"),
        ({"agent_schema_version": "x"}, "agent_schema_version"),
        (
            {"agent_schema_version": {"span_type_schemas": {}}},
            "agent_schema_version.span_type_schemas",
        ),
        (
            {"agent_schema_version": {"span_type_schemas": [{"name": "n"}]}},
            "agent_schema_version.span_type_schemas.0.params_schema",
        ),
        (
            {"agent_schema_version": {"span_type_schemas": [{"name": "", "params_schema": {}}]}},
            "agent_schema_version.span_type_schemas.name",
        ),
        ({"purpose": "fun"}, "purpose"),
        ({"update_current_version": "yes"}, "update_current_version"),
        ({"external_identifier": "x" * 1001}, "external_identifier"),
        ({"external_identifier": "a\x00"}, "external_identifier"),
        ({"external_identifier": TOO_LONG}, "external_identifier"),
        (
            {"agent_version": {"external_identifier": TOO_LONG}},
            "agent_version.external_identifier",
        ),
        (
            {"agent_schema_version": {"external_identifier": TOO_LONG}},
            "agent_schema_version.external_identifier",
        ),
        ({"agent_version": {"external_identifier": ""}}, "agent_version.external_identifier"),
        ({"agent_id": None}, "agent_id"),
    ],
)
def test_a_wrong_field_of_a_registration_is_named(
    api: Api, change: dict[str, Any], field: str
) -> None:
    """Nothing is registered: the agent can still be deleted."""
    answer = refusal(api.post("/agent_instance/register", {**api.registration(), **change}), 422)

    assert answer["code"] == "validation_errors"
    assert list(answer["errors"]) == [field]
    assert details(api.get(f"/agent/{api.agent_id}"))["available_actions"]["delete"] is True


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


def test_an_unknown_agent_is_not_found(api: Api) -> None:
    """The TypeScript SDK waits for it, by this code."""
    answer = refusal(
        api.post("/agent_instance/register", {**api.registration(), "agent_id": NOBODY}), 404
    )

    assert answer["code"] == "not_found"


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


@on_each_store
def test_the_environment_is_the_one_that_was_asked_for(api: Api) -> None:
    """The default is the agent's only one, or the account's first."""
    made = api.instance("pending")

    asked = api.instance("pending", environment_id=made["environment_id"])
    assert asked["agent_deployment_id"] == made["agent_deployment_id"]
    unknown = api.post("/agent_instance/register", api.registration(environment_id=NOBODY))
    assert refusal(unknown, 404)["message"] == "environment not found"


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
def test_a_schema_version_that_is_kept_is_named_by_its_identifier_alone(api: Api) -> None:
    """The first answer says so; the run belongs to the version that was sent whole."""
    first = api.post("/agent_instance/register", api.registration())
    assert first.json()["keeps_schema"] is True
    second = api.post("/agent_instance/register", by_identifier(api.registration()))
    assert details(second)["agent_version_id"] == details(first)["agent_version_id"]
    run = api.post("/agent_instance/register", by_identifier(api.registration()))
    instance_id = details(run)["id"]
    api.post(f"/agent_instance/{instance_id}/start", {})
    span = details(api.post("/agent_spans", {"details": {
        "agent_instance_id": instance_id, "schema_name": "desk:answer", "status": "active",
        "payload": {},
    }}))  # fmt: skip
    assert span["schema_title"] == "Answer"


@on_each_store
def test_an_identifier_alone_that_is_not_known_is_refused(api: Api) -> None:
    """The SDK then sends the schema version whole; nothing is left of the try."""
    api.post("/agent_instance/register", api.registration())
    answer = api.post("/agent_instance/register", by_identifier(api.registration(), "schema-2"))
    assert refusal(answer, 422)["code"] == "unknown_schema_version"
    assert len(api.get("/agent_instance", agent_id=api.agent_id).json()["summaries"]) == 1


@on_each_store
def test_both_forms_of_a_registration_are_one_operation(api: Api) -> None:
    """A repetition may have the other form: the process has learned, or another one took over."""
    whole = {**api.registration(), "idempotency_key": "reg-00000001"}
    first = details(api.post("/agent_instance/register", whole))
    assert details(api.post("/agent_instance/register", by_identifier(whole))) == first
    second = {**whole, "idempotency_key": "reg-00000002"}
    alone = details(api.post("/agent_instance/register", by_identifier(second)))
    assert details(api.post("/agent_instance/register", second)) == alone


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
