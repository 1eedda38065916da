"""Two programs under one identifier: said to the program, and by the API and the web UI."""

from __future__ import annotations

import csv
import io
from typing import Any

from remit.collector import Store, create_token
from remit.testing import FakeClock
from tests.collecting import Api, Json, World, details
from tests.inside_collector import create_app, root_id
from tests.signing_in import sign_in, stranger
from tests.stores import on_each_store
from tests.subtests import each
from tests.violating import denial, violation

HOUR_S = 3600


def registered(api: Api, *steps: str, owner: str | None = None) -> dict[str, Any]:
    """Register a run of a program with these steps; return the whole answer."""
    own: dict[str, Any] = {"name": "main:answer", "params_schema": {}}
    if owner is not None:
        own["params_schema"] = {"x-remit-owner": owner}
    types = [own, *({"name": name, "params_schema": {}} for name in steps)]
    body = {
        "agent_id": api.agent_id,
        "agent_version": {"external_identifier": "1"},
        "agent_schema_version": {
            "external_identifier": f"schema-{'-'.join(steps)}-{owner}",
            "span_type_schemas": types,
        },
    }
    response = api.http.post("/api/v1/agent_instance/register", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def agent_of(world: World, project: str = "shop") -> Api:
    """Return the view of an account with an agent that has an identifier."""
    api = world.account()
    body = {"details": {"name": "Answer", "external_identifier": f"{project}/main:answer"}}
    return Api(api.http, api.http.post("/api/v1/agent", json=body).json()["details"]["id"])


def collisions(api: Api) -> list[dict[str, Any]]:
    """Return what the endpoint lists."""
    response = api.http.get("/api/remit/v1/collisions")
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["collisions"]
    return found


@on_each_store
def test_a_program_without_a_common_step_is_another_one(world: World) -> None:
    """The answer to its first registration says so, and the list has both."""
    api = agent_of(world)
    assert "collision" not in registered(api, "main:pay")
    second = registered(api, "main:read", "langchain:tool:search", "openai:llm")
    assert second["collision"]["steps"] == ["main:pay"]
    (listed,) = collisions(api)
    assert listed["agent"]["external_identifier"] == "shop/main:answer"
    assert sorted(program["steps"] for program in listed["programs"]) == [
        ["langchain:tool:search", "main:read"],
        ["main:pay"],
    ]


@each(
    ("project", "first", "second", "owners", "is_another"),
    [
        ("a", ("main:a", "main:b"), ("main:b", "main:c"), (None, None), False),
        ("b", ("main:a",), (), (None, None), False),
        ("c", ("openai:llm",), ("openai:llm",), (None, None), False),
        ("d", ("openai:llm", "main:a"), ("openai:llm", "main:b"), (None, None), True),
        ("e", ("main:a",), ("main:a",), ("sales", "support"), True),
        ("f", ("main:a",), ("main:a",), ("sales", None), False),
    ],
)
def test_versions_of_one_program_share_a_step(
    world: World,
    project: str,
    first: tuple[str, ...],
    second: tuple[str, ...],
    owners: tuple[str | None, str | None],
    is_another: bool,
) -> None:
    """And no other owner; a framework's own steps are everybody's."""
    api = agent_of(world, project)
    registered(api, *first, owner=owners[0])
    assert ("collision" in registered(api, *second, owner=owners[1])) is is_another


@on_each_store
def test_a_program_that_was_replaced_is_no_other_one_for_long(
    world: World, clock: FakeClock
) -> None:
    """A rewrite of every step is said for 24 hours after the last process of the old program."""
    api = agent_of(world)
    registered(api, "main:old")
    clock.advance(23 * HOUR_S)
    assert "collision" in registered(api, "main:new")
    clock.advance(2 * HOUR_S)
    assert "collision" not in registered(api, "main:new")
    assert collisions(api) == []


def test_the_web_ui_shows_both_programs(world: World, store: Store, clock: FakeClock) -> None:
    """On the page of the agent, whatever the view."""
    api = agent_of(world)
    registered(api, "main:pay", owner="sales")
    http = stranger(create_app(store, clock=clock, page_hosts=()))
    sign_in(http, create_token(store, "account", clock=clock).secret)
    assert "programs use the identifier" not in http.get(f"/agents/{api.agent_id}").text
    registered(api, "main:read", owner="<b>support</b>")
    page = http.get(f"/agents/{api.agent_id}?view=activity").text
    assert "2 programs use the identifier of this agent." in page
    assert "main:pay" in page
    assert "<b>support</b>" not in page


def recorded(api: Api, name: str) -> str:
    """Return a run of the program with this name, with a denied step and a model call."""
    types: list[Json] = [{"name": name, "params_schema": {}} for name in ("main:pay", "openai:llm")]
    run = str(
        api.instance(
            agent_version={"external_identifier": f"1-{name}", "name": name},
            agent_schema_version={"external_identifier": name, "span_type_schemas": types},
        )["id"]
    )
    said = {"conversation": "both"}
    api.span(run, schema_name="remit:run", id=root_id(run), payload=said)
    refused = denial("main:pay", violation("main:pay", "main:answer", "financial_transactions"))
    used = {"token_usage": {"prompt_tokens": 1_000, "completion_tokens": 100}}
    for step, status, result in (("openai:llm", "complete", used), ("main:pay", "failed", refused)):
        span = api.span(run, schema_name=step, payload={"model_name": "gpt-5"})
        body = {"status": status, "result_payload": result}
        details(api.post(f"/agent_spans/{span['id']}/finish", body))
    return run


@on_each_store
def test_a_run_has_the_name_that_its_own_program_gave(
    world: World, store: Store, clock: FakeClock
) -> None:
    """Of two programs under one identifier, and after the agent was renamed: wherever it is."""
    api = agent_of(world)
    http = stranger(create_app(store, clock=clock, page_hosts=()))
    sign_in(http, create_token(store, "account", clock=clock).secret)
    for name in ("Payments", "Weather"):
        run = recorded(api, name)
        named: dict[str, Any] = {"id": api.agent_id, "name": name}
        assert named.items() <= api.shown(run)["agent"].items()
        context = api.get(f"/agent_instance/{run}/agent_context").json()["agent_context"]
        assert context["body"].startswith(f"# {name}\n")
        cases = csv.DictReader(io.StringIO(http.get("/denied.csv?kind=denied").text))
        assert [case["agent"] for case in cases if case["run"] == run] == [name]
        for page in ("", "/file", "/print"):
            assert f"<title>{name}" in http.get(f"/runs/{run}{page}").text
    listed = api.http.get("/api/remit/v1/runs").json()["runs"]
    assert [run["agent"]["name"] for run in listed] == ["Weather", "Payments"]
    versions = api.http.get("/api/remit/v1/costs?by=version").json()["costs"]
    assert {each["version"]["name"]: each["version"]["agent"] for each in versions} == {
        "1-Payments": "Payments",
        "1-Weather": "Weather",
    }
    page = http.get("/conversations/both").text
    assert "2 turns" in page
    assert "<bdi>Payments</bdi>" in page
    assert "<bdi>Weather</bdi>" in page
