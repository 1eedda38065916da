"""Bulk: in order, each item as if alone, up to the first that is rejected."""

from __future__ import annotations

from typing import Any

from remit.collector import Settings, Store
from remit.testing import FakeClock
from tests.collecting import NOBODY, Api, World, details, refusal
from tests.inside import ids
from tests.stores import on_each_store
from tests.subtests import each

CREATE = "agent_spans/create"
FINISH = "agent_spans/finish"


def test_items_of_method_and_path_are_refused(api: Api) -> None:
    """Without a type an item names no operation."""
    items = [{"method": "GET", "path": "/api/v1/ping", "idempotency_key": "12345678"}]
    assert "items.0._type" in refusal(api.post("/bulk", {"items": items}), 422)["errors"]


class Slow(FakeClock):
    """A clock on which each look takes a second."""

    def monotonic_ns(self) -> int:
        """Return the time, and let a second pass."""
        self.advance(1)
        return super().monotonic_ns()


def in_several_requests(api: Api, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Send *items*, and again those that were left out; return the outputs of each request."""
    sent: list[dict[str, Any]] = []
    while items:
        outputs = api.bulk(*items)
        sent.append(outputs)
        done = {key for key, output in outputs.items() if output["status"] == "success"}
        assert done
        items = [item for item in items if item["idempotency_key"] not in done]
    return sent


@each("operation", [CREATE, "agents/create", "agent_spans/list"])
def test_a_request_does_not_work_for_ever(store: Store, operation: str) -> None:
    """What is left out is sent again, and each time some of it is done."""
    api = World(store, clock=Slow(), settings=Settings(max_bulk_s=3)).account()
    run = api.instance("active")
    said = {"name": "x", **api.span_body(run["id"])["details"]}
    items = [
        {"_type": operation, "idempotency_key": f"key-{n:08}", "details": said} for n in range(10)
    ]

    first, *others = in_several_requests(api, items)

    assert 1 < len(first) < 10
    assert others
    refused = list(first.values())[-1]
    assert (refused["status"], refused["code"]) == ("error", "unavailable")
    assert len(api.spans(run["id"])) == (10 if operation == CREATE else 0)
    assert api.shown(run["id"])["span_counts"]["total"] == len(api.spans(run["id"]))


@each("operation", [CREATE, "agent_spans/list"])
def test_an_answer_does_not_grow_for_ever(store: Store, operation: str) -> None:
    """An item that lists is a hundred bytes, and a hundred spans are answered."""
    api = World(store, settings=Settings(max_response_bytes=5000)).account()
    run = api.instance("active")
    api.span(run["id"], payload={"long": "x" * 3000})
    said = api.span_body(run["id"], payload={"long": "x" * 3000})["details"]
    items = [
        {"_type": operation, "idempotency_key": f"key-{n:08}", "details": said} for n in range(4)
    ]

    first, *others = in_several_requests(api, items)

    assert len(first) == 3
    assert len(others) == 1
    assert list(first.values())[-1]["code"] == "payload_too_large"


@on_each_store
def test_a_refused_item_leaves_nothing_of_its_own(store: Store) -> None:
    """An agent or a version that it wrote before the refusal is rolled back."""
    api = World(store, settings=Settings(create_agents=True)).account()
    wrong = {"span_type_schemas": [{"name": "", "params_schema": {}}]}
    register = {"_type": "agent_instances/register", **api.registration(agent_id=NOBODY)}

    outputs = api.bulk(
        {"_type": "agents/create", "details": {"name": "kept"}},
        {**register, "agent_schema_version": wrong},
    )

    assert [output["status"] for output in outputs.values()] == ["success", "error"]
    refusal(api.get(f"/agent/{NOBODY}"), 404)
    with store.reading() as tx:
        assert tx.version(NOBODY, "v1") is None
    assert len(api.get("/agent").json()["summaries"]) == 2


@on_each_store
def test_a_bulk_request_sent_again_changes_nothing(api: Api) -> None:
    """The connection may break in between, and the repetition may have more items."""
    run = api.instance("active")
    ids = details(api.post("/pfid/generate", {"count": 2}))["pfids"]
    items = [
        {"_type": CREATE, "idempotency_key": "key-1234", **api.span_body(run["id"])},
        {"_type": CREATE, "idempotency_key": "key-2345", **api.span_body(run["id"], id=ids[0])},
        {"_type": FINISH, "idempotency_key": "key-3456", "agent_span_id": ids[0]},
        {
            "_type": "agent_instances/record_quality",
            "idempotency_key": "key-4567",
            "agent_instance_id": run["id"],
            "name": "q",
            "payload": {},
        },
    ]
    more = {"_type": CREATE, "idempotency_key": "key-5678", **api.span_body(run["id"], id=ids[1])}

    first = api.post("/bulk", {"items": items[:2]}).json()["outputs"]
    second = api.post("/bulk", {"items": items}).json()["outputs"]
    third = api.post("/bulk", {"items": [*items, more]}).json()["outputs"]

    assert second["key-1234"] == first["key-1234"]
    # The second span ended after its creation was answered.
    assert second["key-2345"] == first["key-2345"]
    assert third["key-2345"] == third["key-3456"] == second["key-3456"]
    assert third["key-4567"]["details"]["quality_payloads"] == {"q": {}}
    assert api.shown(run["id"])["span_counts"]["total"] == 3


@on_each_store
def test_the_sdks_spans_are_taken_again_and_again(api: Api) -> None:
    """A hundred spans, sent three times, overlapping: each is kept once."""
    run = api.instance("active")
    partition = ids.partition_of(run["id"]) or 0
    keys = [ids.new_key(1_767_225_600_000_000_000 + n * 1_000_000) for n in range(150)]
    items: list[dict[str, Any]] = [
        {
            "_type": CREATE,
            "idempotency_key": f"c-{ids.key_text(key)}",
            **api.span_body(run["id"], id=ids.pfid(key, partition), status="complete"),
        }
        for key in keys
    ]

    for part in (items[:100], items[50:], items):
        outputs = api.bulk(*part)
        assert [output["details"]["id"] for output in outputs.values()] == [
            item["details"]["id"] for item in part
        ]

    assert api.shown(run["id"])["span_counts"]["complete"] == 150
