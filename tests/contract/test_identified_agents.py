"""An agent that the collector knows without the project: found, renamed once, or kept apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

import remit
from remit.collector import Store, create_token
from remit.config import Settings
from tests.collecting import Api, World, on_a_port
from tests.inside import setup
from tests.stores import on_each_store
from tests.subtests import each

Steps = tuple[str, ...]


def schema_version(
    *steps: str, owner: str | None = None, agent: str = "main:answer"
) -> dict[str, Any]:
    """Return the schema version of a program with these steps."""
    own: dict[str, Any] = {"name": agent, "params_schema": {}}
    if owner is not None:
        own["params_schema"] = {"x-remit-owner": owner}
    return {
        "external_identifier": f"schema-{'-'.join(steps)}-{owner}",
        "span_type_schemas": [own, *({"name": name, "params_schema": {}} for name in steps)],
    }


def known_agent(
    world: World, steps: Steps | None, owner: str | None = None, agent: str = "main:answer"
) -> Api:
    """Return the view of an account with an agent that has registered *steps*."""
    api = world.account()
    body = {"details": {"name": "Answer", "external_identifier": agent}}
    api = Api(api.http, api.http.post("/api/v1/agent", json=body).json()["details"]["id"])
    if steps is not None:
        registration = {
            "agent_id": api.agent_id,
            "agent_version": {"external_identifier": "1"},
            "agent_schema_version": schema_version(*steps, owner=owner, agent=agent),
        }
        response = api.http.post("/api/v1/agent_instance/register", json=registration)
        assert response.status_code == 200, response.text
    return api


def identified(api: Api, identifier: str, *steps: str, owner: str | None = None) -> Any:
    """Return the agent that the collector finds, or None."""
    body = {
        "external_identifier": identifier,
        "agent_schema_version": schema_version(
            *steps, owner=owner, agent=identifier.rpartition("/")[2]
        ),
    }
    response = api.http.post("/api/remit/v1/agents/identify", json=body)
    assert response.status_code == 200, response.text
    return response.json()["agent"]


@on_each_store
def test_a_program_of_the_same_steps_gets_the_agent_and_another_one_does_not(world: World) -> None:
    """It happens once: the agent has its runs, and the other program has an agent of its own."""
    api = known_agent(world, ("main:pay", "main:read"))
    assert identified(api, "bank/main:answer", "main:weigh") is None
    renamed = identified(api, "shop/main:answer", "main:pay", "main:new")
    assert (renamed["id"], renamed["external_identifier"]) == (api.agent_id, "shop/main:answer")
    assert identified(api, "shop/main:answer")["id"] == api.agent_id
    assert identified(api, "copy/main:answer", "main:pay") is None
    listed = api.http.get(f"/api/v1/agent_instance?agent_id={api.agent_id}").json()["summaries"]
    assert len(listed) == 1


@each(
    ("agent", "before", "after", "owners", "is_same"),
    [
        ("main:one", ("main:a", "main:b"), ("main:b",), (None, None), True),
        ("main:two", ("main:a",), ("main:b",), (None, None), False),
        ("main:three", ("main:a",), (), (None, None), False),
        ("main:four", (), ("main:a",), (None, None), False),
        ("main:five", (), (), (None, None), True),
        ("main:six", ("openai:llm",), ("openai:llm",), (None, None), True),
        ("main:seven", ("main:a",), ("main:a",), ("sales", "support"), False),
        ("main:eight", ("main:a",), ("main:a",), (None, "support"), True),
        ("main:nine", None, ("main:a",), (None, None), True),
    ],
)
def test_programs_agree_by_steps_and_owner(
    world: World,
    agent: str,
    before: Steps | None,
    after: Steps,
    owners: tuple[str | None, str | None],
    is_same: bool,
) -> None:
    """An agent without a registration has nothing that disagrees."""
    api = known_agent(world, before, owners[0], agent)
    found = identified(api, f"shop/{agent}", *after, owner=owners[1])
    assert (found is not None) is is_same


def test_only_a_project_precedes_an_identifier(world: World) -> None:
    """Names of frameworks may have a slash."""
    api = known_agent(world, None)
    for identifier in ("main:answer/x", "/main:answer", "a b/main:answer", "shop:x/main:answer"):
        assert identified(api, identifier) is None


def run_program(settings: Settings, declare: Callable[[], Any]) -> None:
    """Run an agent `bot` once, and deliver its run."""
    with setup.isolated(settings) as runtime:
        declare()()
        assert runtime.flush(60)


def shop_bot() -> Any:
    """Declare the agent of the shop."""

    @remit.span_type(name="shop_bot:pay")
    def pay() -> None: ...

    @remit.agent
    def bot() -> None:
        pay()

    return bot


@on_each_store
def test_the_runs_of_a_program_stay_together_when_it_gets_a_project(
    store: Store, tmp_path: Path
) -> None:
    """As delivery asks: the agent has both runs under the new identifier."""
    secret = create_token(store, "account").secret
    with on_a_port(World(store).app) as url:
        common: dict[str, Any] = {"api_url": url, "api_token": SecretStr(secret)}
        for number, project in enumerate(("tests", "shop", "shop")):
            settings = Settings(**common, data_dir=tmp_path / str(number), project=project)
            run_program(settings, shop_bot)
        api = World(store).http(secret)
        agents = api.get("/api/v1/agent").json()["summaries"]
    (agent,) = agents
    assert agent["external_identifier"].startswith("shop/")
    assert agent["instance_counts"]["complete"] == 3
