"""What the API tells of an agent as a whole, and spans that no program made."""

from __future__ import annotations

from remit import risk
from remit.models.agent import Agent
from tests.collecting import NOBODY, Api, Json, World, details, refusal
from tests.stores import on_each_store

RISKY: dict[str, Json] = {
    "external_identifier": "risky",
    "span_type_schemas": [
        {
            "name": "desk:pay",
            "title": "Pay",
            "description": "Moves money.",
            "params_schema": {},
            "data_risk": {
                "action_profile": {
                    "financial_transactions": "allowed",
                    "read_data": "disallowed",
                    "create_data": "disallowed",
                },
                "params_data_categories": {
                    "financial_information": "included",
                    "minors_data": "excluded",
                    "classification": "confidential",
                },
                "result_data_categories": {"classification": "public"},
            },
        },
        {
            "name": "desk:look",
            "params_schema": {},
            "data_risk": {
                "action_profile": {"read_data": "disallowed"},
                "params_data_categories": {"minors_data": "excluded", "classification": "internal"},
                "result_data_categories": {},
            },
        },
    ],
}


@on_each_store
def test_the_risk_of_an_agent_is_told_when_asked(api: Api) -> None:
    """Over the span types of its newest schema version: what one may do, the agent may."""
    show = {"agent_id": api.agent_id, "include_risk_rollup": "true"}
    nothing = details(api.get("/agent/show", **show))["risk_rollup"]
    api.instance("pending")
    api.instance("pending", agent_schema_version=RISKY)

    shown = details(api.get("/agent/show", **show))
    rollup = shown["risk_rollup"]
    assert set(nothing["action_profile"].values()) == {"unknown"}
    assert rollup["action_profile"]["financial_transactions"] == "allowed"
    assert rollup["action_profile"]["read_data"] == "disallowed"
    assert rollup["action_profile"]["create_data"] == "unknown"
    params, result = rollup["params_data_categories"], rollup["result_data_categories"]
    assert (params["financial_information"], params["minors_data"]) == ("included", "excluded")
    assert (params["classification"], result["classification"]) == ("confidential", "public")
    assert "risk_rollup" not in details(api.get(f"/agent/{api.agent_id}"))
    Agent.model_validate(shown)
    refusal(api.get("/agent/show", agent_id=api.agent_id, include_risk_rollup="perhaps"), 422)


@on_each_store
def test_the_risk_of_an_agent_is_within_its_own_remit(api: Api) -> None:
    """What it forbids or excludes, it may not, whatever one of its steps declares."""
    own = risk(
        allows="update_data",
        forbids=("financial_transactions", "destroy_data"),
        excludes=("financial_information", "minors_data"),
    )
    pays = risk(
        allows=("financial_transactions", "external_communication"),
        forbids="create_data",
        takes=("financial_information", "contact_information"),
        classification="internal",
    )
    described = {"name": "Shop", "external_identifier": "/home/shop/desk:careful"}
    shop = Api(api.http, details(api.post("/agent", {"details": described}))["id"])
    types: list[Json] = [
        {"name": "remit:run", "params_schema": {}},
        {"name": "desk:careful", "params_schema": {}, "data_risk": own.model_dump(mode="json")},
        {
            "name": "desk:pay",
            "params_schema": {},
            # A declaration may have more members than its three parts.
            "data_risk": {**pays.model_dump(mode="json"), "note": "checked"},
        },
    ]
    schema = {"external_identifier": "careful", "span_type_schemas": types}
    shop.instance("pending", agent_schema_version=schema)

    query = {"agent_id": shop.agent_id, "include_risk_rollup": "true"}
    rollup = details(api.get("/agent/show", **query))["risk_rollup"]
    assert rollup["action_profile"] == {
        "create_data": "disallowed",
        "read_data": "unknown",
        "update_data": "allowed",
        "destroy_data": "disallowed",
        "financial_transactions": "disallowed",
        "external_communication": "allowed",
    }
    params = rollup["params_data_categories"]
    assert params["financial_information"] == params["minors_data"] == "excluded"
    assert params["contact_information"] == "included"
    assert params["classification"] == "internal"


@on_each_store
def test_the_counts_of_an_agent_are_of_one_environment_when_asked(api: Api) -> None:
    """They can be left out; the agent is found by its external identifier too."""
    agent = details(api.post("/agent", {"details": {"name": "B", "external_identifier": "b"}}))
    bound = Api(api.http, agent["id"])
    run = bound.instance("active")
    staging = details(api.post("/environment", {"details": {"name": "staging"}}))["id"]
    bound.instance("pending", environment_id=staging)
    bound.instance("pending", environment_id=staging)

    def total(**query: Json) -> int:
        shown = details(api.get("/agent/show", external_identifier="b", **query))
        counted: int = shown["instance_counts"]["total"]
        return counted

    assert (total(), total(environment_id=staging)) == (3, 2)
    assert total(environment_id=run["environment_id"], include_counts="true") == 1
    without = details(api.get("/agent/show", external_identifier="b", include_counts="false"))
    assert "instance_counts" not in without
    refusal(api.get("/agent/show", external_identifier="b", environment_id=NOBODY), 404)


def test_the_counts_of_another_environment_are_not_told(world: World) -> None:
    """A deployment's token learns nothing of what runs elsewhere."""
    api = world.account()
    here = api.instance()["environment_id"]
    elsewhere = details(api.post("/environment", {"details": {"name": "elsewhere"}}))["id"]
    deployed, _ = world.deployed(api, here)

    for environment_id, told in ((here, True), (elsewhere, False)):
        shown = details(
            deployed.get("/agent/show", agent_id=api.agent_id, environment_id=environment_id)
        )
        assert ("instance_counts" in shown) is told


def test_a_run_without_declared_types_gets_test_spans_too(api: Api) -> None:
    """They have a name of their own; the default is one span."""
    run = api.instance("active", agent_schema_version={})["id"]

    (span,) = api.post("/agent_spans/create_test_spans", {"agent_instance_id": run}).json()[
        "span_details"
    ]

    assert span["schema_name"] == "test:span"
