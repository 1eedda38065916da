"""Bulk in the command line's dialect: methods and paths in the place of names and keys."""

from __future__ import annotations

from typing import Any

from remit.collector import Settings, Store
from tests.collecting import NOBODY, Api, Json, World, refusal
from tests.subtests import each


def call(method: str, path: str, body: Json = None) -> dict[str, Json]:
    """Return an item."""
    return {"method": method, "path": f"/api/v1{path}", **({} if body is None else {"body": body})}


def results(api: Api, *calls: Json) -> list[dict[str, Any]]:
    """Return what came of each call."""
    response = api.post("/bulk", {"items": list(calls)})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["details"]["items"]
    return found


def test_calls_are_made_in_order_up_to_the_first_that_is_refused(api: Api) -> None:
    """Each answers what its endpoint would; what came before the refusal stays."""
    run = api.instance("pending")["id"]

    done = results(
        api,
        call("POST", f"/agent_instance/{run}/start"),
        call("post", "/agent_spans", api.span_body(run)),
        call("GET", f"/agent_spans/?agent_instance_id={run}&sorting=-id"),
        call("PUT", f"/agent/{api.agent_id}", {"details": {"name": "New"}}),
        call("GET", f"/agent_instance/{NOBODY}"),
        call("GET", "/ping"),
    )

    assert [one["status"] for one in done] == [200, 200, 200, 200, 404]
    assert done[0]["body"]["details"]["status"] == "active"
    assert done[2]["body"]["summaries"] == api.spans(run) == [done[1]["body"]["details"]]
    assert done[3]["body"]["details"]["name"] == "New"
    assert (done[4]["body"]["status"], done[4]["body"]["code"]) == ("error", "not_found")


def test_a_key_in_a_body_or_a_query_makes_a_call_once(api: Api) -> None:
    """As it does outside."""
    body = {"details": {"name": "staging"}, "idempotency_key": "key-1"}
    keyed = call("POST", "/environment?idempotency_key=key-2", {"details": {"name": "x"}})

    one, again, two, too = results(api, *[call("POST", "/environment", body)] * 2, keyed, keyed)

    assert (one, two) == (again, too)
    assert len(api.get("/environment").json()["summaries"]) == 3


@each(
    ("method", "path"),
    [
        ("GET", "/api/v1/nothing"),
        ("PATCH", "/api/v1/agent"),
        ("POST", "/api/v1/bulk"),
        ("GET", "/api/v1/openapi"),
        ("GET", "http://[else/api/v1/ping"),
        ("GET", "/agent"),
    ],
)
def test_a_call_to_what_is_no_path_is_not_found(api: Api, method: str, path: str) -> None:
    """Nor is a bulk request within another."""
    (one,) = results(api, {"method": method, "path": path})

    assert (one["status"], one["body"]["code"]) == (404, "not_found")


def test_the_documented_dialect_wins(api: Api) -> None:
    """Items with a name of an operation are read by it, whatever else stands in them."""
    named = {"_type": "agents/list", "idempotency_key": "key-0001", **call("GET", "/ping")}

    assert api.bulk(named)["key-0001"]["summaries"][0]["id"] == api.agent_id
    mixed = {"items": [named, call("GET", "/ping")]}
    assert "items.1._type" in refusal(api.post("/bulk", mixed), 422)["errors"]


def test_a_token_reaches_no_further_in_a_call(world: World) -> None:
    """Scopes and accounts hold as outside."""
    api = world.account()
    run = api.instance("active")["id"]

    (bound,) = results(world.deployment(), call("GET", "/agent"))
    (foreign,) = results(world.foreign(), call("GET", f"/agent_instance/{run}"))

    assert (bound["status"], foreign["status"]) == (403, 404)


def test_calls_are_not_answered_for_ever(store: Store) -> None:
    """The first that is left out says so; it is done when it comes first."""
    api = World(store, settings=Settings(max_answer_bytes=100)).account()

    made = results(api, *[call("GET", "/agent")] * 3)

    assert [each["status"] for each in made] == [200, 413]
    assert made[1]["body"]["code"] == "payload_too_large"


def test_the_number_of_calls_has_the_limit_of_items(store: Store) -> None:
    """The request as a whole is refused."""
    api = World(store, settings=Settings(max_bulk_items=2)).account()

    assert len(results(api, *[call("GET", "/ping")] * 2)) == 2
    refusal(api.post("/bulk", {"items": [call("GET", "/ping")] * 3}), 413)
