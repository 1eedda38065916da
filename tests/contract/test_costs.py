"""Costs of model calls: in runs, in lists and by group, in the API and in the web UI."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from remit.collector import Settings, Store, create_token
from remit.testing import FakeClock
from tests.collecting import Api, Json, World, details
from tests.inside_collector import MOST_MODELS, OTHER, Price, Prices, create_app
from tests.signing_in import sign_in, stranger
from tests.stores import on_each_store

PRICE = {"model": "gpt-5*", "input": Decimal(2), "output": Decimal(10), "from": "2026-01-01"}
PRICES = Prices(currency="USD", models=(Price.model_validate(PRICE),))


def called(
    api: Api, run: str, model: str, tokens: Sequence[int], cost: Json = None, named: str = ""
) -> None:
    """Record a model call that took and gave tokens."""
    span = api.span(
        run, schema_name="openai:llm", payload={"operation": "chat", "model_name": model}
    )
    result: dict[str, Json] = {
        "token_usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    }
    result |= {"cost": cost} if cost else {}
    result |= {"response_model": named} if named else {}
    body = {"status": "complete", "result_payload": result}
    details(api.post(f"/agent_spans/{span['id']}/finish", body))


def costs(api: Api, **query: str | None) -> dict[str, Any]:
    """Return the answer of the endpoint."""
    response = api.http.get("/api/remit/v1/costs", params=query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.fixture
def priced(store: Store, clock: FakeClock) -> World:
    """Return a collector with prices."""
    return World(store, clock=clock, settings=Settings(prices=PRICES))


@on_each_store
def test_a_run_has_the_cost_of_its_calls(priced: World) -> None:
    """In the list and alone; the model that answered counts, and what has no price is counted."""
    api = priced.account()
    run = api.instance("active")["id"]
    called(api, run, "gpt-5", (1_000_000, 100_000), named="gpt-5-2026-01-01")
    called(api, run, "mistral", (500, 50))
    reported = {"amount": "0.25", "currency": "EUR", "source": "litellm"}
    called(api, run, "mistral", (500, 50), cost=reported)

    (listed,) = api.http.get("/api/remit/v1/runs").json()["runs"]
    expected = {
        "total_cost": None,
        "costs": [
            {"amount": "0.25", "currency": "EUR", "source": "reported", "prices_from": None},
            {"amount": "3", "currency": "USD", "source": "prices", "prices_from": "2026-01-01"},
        ],
        "calls_without_price": 1,
    }
    assert listed["cost_breakdown"] == expected
    assert api.shown(run)["cost_breakdown"] == expected


@on_each_store
def test_costs_are_added_by_group(priced: World, clock: FakeClock) -> None:
    """By model, agent, version and day, of the chosen agent and time only."""
    api, other = priced.account(), priced.account()
    first = api.instance("active")["id"]
    called(api, first, "gpt-5", (1_000_000, 0))
    clock.advance(24 * 3600)
    second = api.instance("active")["id"]
    called(api, second, "gpt-5-mini", (2_000_000, 0))
    called(api, second, "gpt-5-mini", (500_000, 0))
    foreign = other.instance("active")["id"]
    called(other, foreign, "gpt-5", (4_000_000, 0))

    by_model = costs(api, by="model", agent_id=api.agent_id)
    found = [
        (group["model"], group["calls"], group["tokens"]["in"], group["cost_breakdown"])
        for group in by_model["costs"]
    ]
    assert [one[:3] for one in found] == [("gpt-5-mini", 2, 2_500_000), ("gpt-5", 1, 1_000_000)]
    assert [one[3]["total_cost"] for one in found] == [5.0, 2.0]
    assert by_model["is_whole"] is True

    days = costs(api, by="day", agent_id=api.agent_id)["costs"]
    assert [group["cost_breakdown"]["total_cost"] for group in days] == [2.0, 5.0]
    assert days[0]["day"] < days[1]["day"]
    agents = costs(api, by="agent")["costs"]
    assert [(group["agent"]["id"], group["calls"]) for group in agents] == [
        (other.agent_id, 1),
        (api.agent_id, 3),
    ]
    versions = costs(api, by="version", since=f"{days[1]['day']}T00:00:00Z")["costs"]
    assert sorted(group["calls"] for group in versions) == [1, 2]
    assert all(group["version"]["agent"] == "Desk" for group in versions)


@on_each_store
def test_many_models_of_a_run_are_counted_together(priced: World) -> None:
    """A program that makes up names of models does not fill the database with them."""
    api = priced.account()
    run = api.instance("active")["id"]
    for number in range(MOST_MODELS + 3):
        called(api, run, f"model-{number}", (10, 1))
    groups = {group["model"]: group["calls"] for group in costs(api, by="model")["costs"]}
    assert len(groups) == MOST_MODELS + 1
    assert groups[OTHER] == 3


@pytest.mark.parametrize(
    "cost",
    [
        {"amount": "NaN", "currency": "USD"},
        {"amount": "-1", "currency": "USD"},
        {"amount": "1e400", "currency": "USD"},
        {"amount": 1, "currency": "USD"},
        {"amount": "1", "currency": 7},
        "1",
    ],
)
def test_a_reported_cost_that_is_none_is_left_out(world: World, cost: Json) -> None:
    """The record keeps it; the sums do not."""
    api = world.account()
    run = api.instance("active")["id"]
    called(api, run, "gpt-5", (1, 1), cost=cost)
    assert api.shown(run)["cost_breakdown"] == {
        "total_cost": None,
        "costs": [],
        "calls_without_price": 1,
    }


def test_the_web_ui_shows_costs_with_their_source(
    priced: World, store: Store, clock: FakeClock
) -> None:
    """In the list, at the head of a run, in the panel of a call, and by group at the agent."""
    api = priced.account()
    run = api.instance("active")["id"]
    called(api, run, "gpt-5", (1_000_000, 100_000))
    app = create_app(store, settings=Settings(prices=PRICES), clock=clock, page_hosts=())
    http = stranger(app)
    sign_in(http, create_token(store, "account", clock=clock).secret)
    (span,) = api.http.get("/api/remit/v1/spans", params={"run_id": run}).json()["spans"]

    assert "3.00 USD by your prices of 2026-01-01" in http.get("/runs?from=all").text
    page = http.get(f"/runs/{run}/spans/{span['id']}").text
    assert '<span class="cost">3.00 USD by your prices of 2026-01-01</span>' in page
    assert "cost, by your prices of 2026-01-01" in page
    activity = http.get(f"/agents/{api.agent_id}?view=activity").text
    for heading in ("Model calls by model", "Model calls by version", "Model calls by day"):
        assert heading in activity
    assert "3.00 USD by your prices of 2026-01-01" in activity
    assert "3.0,USD,prices" in http.get("/runs.csv?from=all").text
