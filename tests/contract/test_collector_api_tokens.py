"""Tokens over the API: made once in the clear, suspended and back, revoked for good, expired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from remit.collector import Store
from remit.collector.models.api_token import ApiToken
from remit.testing import FakeClock
from tests.collecting import Api, Json, World, details, refusal
from tests.inside_collector import revoke_token
from tests.stores import on_each_store
from tests.subtests import each


def made(api: Api, **said: Json) -> tuple[dict[str, Any], str]:
    """Return a new token and its secret."""
    response = api.post("/api_token", {"details": {"token_scope": "account", **said}})
    return details(response), response.json()["token"]


def step(api: Api, token: dict[str, Any], name: str) -> dict[str, Any]:
    """Take a step on a token and return it."""
    return details(api.post(f"/api_token/{token['id']}/{name}", {}))


@on_each_store
def test_a_token_is_told_once_and_kept_as_a_hash(
    world: World, store: Store, tmp_path: Path
) -> None:
    """A repetition with the same key answers without it: an answer that is kept holds no secret."""
    api = world.account()
    body = {"details": {"token_scope": "account"}, "idempotency_key": "key-1"}
    first, again = api.post("/api_token", body).json(), api.post("/api_token", body).json()
    secret = first["token"]

    assert details(world.http(secret).get("/api/v1/ping"))["token_scope"] == "account"
    assert again == {"status": "success", "details": first["details"]}
    path = f"/api_token/{first['details']['id']}"
    listed = api.get("/api_token").text
    assert secret not in api.get(path).text + listed
    with store.reading() as tx:
        account_id = first["details"]["account_id"]
        kept = tx.keys(account_id, "api_tokens/create", ["key-1"])["key-1"]
    assert kept.response is not None
    assert secret.encode() not in kept.response
    assert secret.encode() not in b"".join(each.read_bytes() for each in tmp_path.iterdir())
    ApiToken.model_validate(first["details"])


def test_a_suspended_token_can_be_revoked(api: Api) -> None:
    """It need not be good once more first."""
    token, _ = made(api)
    step(api, token, "suspend")

    assert step(api, token, "revoke")["status"] == "revoked"


@on_each_store
def test_a_deployments_token_sees_its_own_environment_only(world: World) -> None:
    """Staging does not read what production's runs of the same agent did."""
    api = world.account()
    run = api.instance("active")
    span = api.span(run["id"])
    staging = details(api.post("/environment", {"details": {"name": "staging"}}))["id"]
    scope = {"token_scope": "agent_deployment", "agent_id": api.agent_id}
    bound = Api(world.http(made(api, **scope, environment_id=staging)[1]))
    own = bound.instance("active")
    bound.span(own["id"])

    refusal(bound.get(f"/agent_instance/{run['id']}"), 404)
    refusal(bound.post(f"/agent_spans/{span['id']}/finish"), 404)
    refusal(bound.post("/agent_spans/create_test_spans", {"agent_instance_id": run["id"]}), 404)
    refusal(bound.get(f"/agent_instance/{run['id']}/agent_context"), 404)
    assert [row["id"] for row in bound.get("/agent_instance").json()["summaries"]] == [own["id"]]
    assert bound.spans(run["id"]) == []
    spans = bound.get("/agent_spans", agent_id=api.agent_id).json()["summaries"]
    assert {row["agent_instance_id"] for row in spans} == {own["id"]}
    counted = details(bound.get(f"/agent/{api.agent_id}"))["instance_counts"]
    assert counted["total"] == 1


@on_each_store
@each("step_name", ["suspend", "revoke"])
def test_a_token_ends_with_the_token_that_made_it(world: World, step_name: str) -> None:
    """Suspending or revoking a token does the same to the tokens that were made with it."""
    owner = world.account()
    maker, maker_secret = made(owner)
    child, child_secret = made(Api(world.http(maker_secret)))
    grandchild, grandchild_secret = made(Api(world.http(child_secret)))
    _, other_secret = made(owner)

    step(owner, maker, step_name)

    assert (maker["made_by"] is not None, child["made_by"]) == (True, maker["id"])
    secrets = (maker_secret, child_secret, grandchild_secret, other_secret)
    pings = [world.http(secret).get("/api/v1/ping").status_code for secret in secrets]
    assert pings == [401, 401, 401, 200]
    shown = details(owner.get(f"/api_token/{grandchild['id']}"))
    assert shown["status"] == {"suspend": "suspended", "revoke": "revoked"}[step_name]
    if step_name == "suspend":
        step(owner, maker, "activate")
        assert world.http(maker_secret).get("/api/v1/ping").status_code == 200
        assert world.http(child_secret).get("/api/v1/ping").status_code == 401


def test_a_token_outlives_the_one_that_made_it_by_no_second(world: World, clock: FakeClock) -> None:
    """It expires with it, or before."""
    now = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC)
    ends = [(now + timedelta(hours=hours)).isoformat() for hours in (1, 2)]
    maker, maker_secret = made(world.account(), expires_at=ends[0])
    api = Api(world.http(maker_secret))

    made_here = [made(api), made(api, expires_at=ends[1])]

    assert {token["expires_at"] for token, _ in made_here} == {maker["expires_at"]}
    clock.advance(3600)
    for _, secret in made_here:
        assert world.http(secret).get("/api/v1/ping").status_code == 401


@on_each_store
def test_the_command_line_revokes_what_a_token_made(world: World, store: Store) -> None:
    """The API does the same."""
    maker, maker_secret = made(world.account())
    _, secret = made(Api(world.http(maker_secret)))

    revoke_token(store, maker["id"], clock=world.clock)

    assert world.http(secret).get("/api/v1/ping").status_code == 401


@on_each_store
def test_the_tokens_of_a_retired_agent_stop(world: World) -> None:
    """They work again once the agent is reinstated."""
    api = world.account()
    path = f"/agent/{api.agent_id}"
    (environment,) = (row["id"] for row in api.get("/environment").json()["summaries"])
    deployed, _ = world.deployed(api, environment)
    answers = [deployed.get("/ping").status_code]

    for name in ("retire", "reinstate"):
        details(api.post(f"{path}/{name}"))
        answers.append(deployed.get("/ping").status_code)

    assert answers == [200, 401, 200]
