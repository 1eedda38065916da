"""Bulk: in order, each item as if alone, up to the first that is rejected."""

from __future__ import annotations

from typing import Any

from remit.collector import Settings, Store
from remit.models.bulk import BulkResponse
from remit.testing import FakeClock
from tests.collecting import NOBODY, Api, World, details, refusal
from tests.inside import ids
from tests.stores import on_each_store
from tests.subtests import each

CREATE = "agent_spans/create"
FINISH = "agent_spans/finish"


@on_each_store
def test_every_documented_operation_answers_its_endpoints_envelope(api: Api) -> None:
    """Each under its key."""
    run = api.instance("pending")
    named = {"agent_instance_id": run["id"]}
    items: dict[str, dict[str, Any]] = {
        "register": {"_type": "agent_instances/register", **api.registration()},
        "start---": {"_type": "agent_instances/start", **named},
        "create--": {"_type": CREATE, **api.span_body(run["id"], status="complete")},
        "quality-": {
            "_type": "agent_instances/record_quality",
            **named,
            "name": "q",
            "payload": {},
        },
        "end-----": {"_type": "agent_instances/terminate", **named, "reason": "r"},
        "show----": {"_type": "agent_instances/show", **named},
        "runs----": {"_type": "agent_instances/list", "agent_id": api.agent_id},
        "spans---": {"_type": "agent_spans/list", **named},
        "agents--": {"_type": "agents/list"},
        "agent---": {"_type": "agents/show", "agent_id": api.agent_id},
        "new-----": {"_type": "agents/create", "details": {"name": "N"}},
        "renamed-": {"_type": "agents/update", "agent_id": api.agent_id, "details": {"name": "M"}},
    }

    sent = [{"idempotency_key": key, **item} for key, item in items.items()]
    outputs = api.bulk(*sent)

    assert list(outputs) == list(items)
    assert {output["status"] for output in outputs.values()} == {"success"}
    assert outputs["show----"] == api.get(f"/agent_instance/{run['id']}").json()
    assert outputs["spans---"] == api.get("/agent_spans", **named).json()
    listed = api.get("/agent_instance", agent_id=api.agent_id).json()
    assert outputs["runs----"] == listed
    assert outputs["show----"]["details"]["status"] == "terminated"
    assert outputs["renamed-"]["details"]["name"] == "M"
    BulkResponse.model_validate({"outputs": outputs})


@on_each_store
def test_items_are_carried_out_in_order(api: Api) -> None:
    """Each sees what those before it did: a span is created, finished, and refused once more."""
    run = api.instance("active")
    (chosen,) = details(api.post("/pfid/generate"))["pfids"]

    outputs = api.bulk(
        {"_type": CREATE, **api.span_body(run["id"], id=chosen)},
        {"_type": FINISH, "agent_span_id": chosen, "result_payload": {"a": 1}},
        {"_type": "agent_spans/list", "agent_instance_id": run["id"]},
        {"_type": FINISH, "agent_span_id": chosen},
    )

    created, finished, listed, again = outputs.values()
    assert (created["details"]["status"], created["details"]["result_payload"]) == ("active", None)
    assert finished["details"]["status"] == "complete"
    assert listed["summaries"] == [finished["details"]]
    assert (again["status"], again["code"]) == ("error", "invalid_action")
    assert api.shown(run["id"])["span_counts"]["complete"] == 1
    assert api.shown(run["id"])["span_counts"]["total"] == 1


@on_each_store
def test_it_stops_at_the_first_error(api: Api) -> None:
    """Successes before it are kept, items after it are absent, the whole is a success."""
    run = api.instance("active")

    outputs = api.bulk(
        {"_type": CREATE, **api.span_body(run["id"])},
        {"_type": FINISH, "agent_span_id": NOBODY},
        {"_type": CREATE, **api.span_body(run["id"])},
        {"_type": "agents/create", "details": {"name": "never"}},
    )

    assert [output["status"] for output in outputs.values()] == ["success", "error"]
    assert list(outputs.values())[1] == {
        "status": "error",
        "code": "not_found",
        "message": "agent_span not found",
    }
    assert len(api.spans(run["id"])) == 1
    assert len(api.get("/agent").json()["summaries"]) == 1


@each(
    ("item", "code", "field"),
    [
        ({"_type": CREATE, "details": {"status": "active"}}, "validation_errors", "schema_name"),
        ({"_type": CREATE}, "validation_errors", "schema_name"),
        ({"_type": CREATE, "details": []}, "bad_request", None),
        ({"_type": CREATE, "details": "x", "status": "active"}, "bad_request", None),
        ({"_type": "agent_instances/show"}, "validation_errors", "agent_instance_id"),
        ({"_type": "agent_instances/show", "agent_instance_id": 5}, "validation_errors", None),
        ({"_type": "agents/create", "details": []}, "bad_request", None),
        ({"_type": "agent_instances/list", "agent_id": 5}, "validation_errors", "agent_id"),
        ({"_type": "agents/list", "pagination": {"page_size": 0}}, "validation_errors", None),
        ({"_type": "agents/list", "sorting": {"field": 5}}, "validation_errors", None),
        ({"_type": "nothing/else"}, "bad_request", None),
        ({"_type": ""}, "bad_request", None),
        ({"_type": "agent_instances/register"}, "validation_errors", "agent_version"),
    ],
)
def test_an_item_that_cannot_be_meant_is_an_error_of_its_own(
    api: Api, item: dict[str, Any], code: str, field: str | None
) -> None:
    """The items before it are carried out."""
    outputs = api.bulk({"_type": "agents/create", "details": {"name": "first"}}, item)

    first, second = outputs.values()
    assert first["status"] == "success"
    assert (second["status"], second["code"]) == ("error", code)
    assert field is None or field in second["errors"]


@each(
    ("body", "status"),
    [
        ({}, 422),
        ([], 422),
        ({"items": []}, 422),
        ({"items": {}}, 422),
        ({"items": None}, 422),
        ({"items": ["x"]}, 422),
        ({"items": [{"_type": "agents/list"}]}, 422),
        ({"items": [{"idempotency_key": "12345678"}]}, 422),
        ({"items": [{"_type": 5, "idempotency_key": "12345678"}]}, 422),
        ({"items": [{"_type": "agents/list", "idempotency_key": "1234567"}]}, 422),
        ({"items": [{"_type": "agents/list", "idempotency_key": "x" * 65}]}, 422),
        ({"items": [{"_type": "agents/list", "idempotency_key": 12345678}]}, 422),
        ({"items": [{"_type": "agents/list", "idempotency_key": None}]}, 422),
        ({"items": [{"_type": "agents/list", "idempotency_key": "1234567\x00"}]}, 422),
        ({"items": [{"method": "GET", "path": "/agent", "body": {}}]}, 422),
        ({"items": [{"_type": "agents/list", "idempotency_key": "12345678"}] * 2}, 422),
    ],
    ids=lambda value: "" if isinstance(value, int) else None,
)
def test_a_request_that_cannot_be_meant_is_refused_whole(
    api: Api, body: object, status: int
) -> None:
    """No item is carried out."""
    first = {"_type": "agents/create", "idempotency_key": "first-key", "details": {"name": "n"}}
    if isinstance(body, dict) and isinstance(body.get("items"), list) and body["items"]:
        body = {"items": [first, *body["items"]]}

    refusal(api.post("/bulk", body), status)

    assert len(api.get("/agent").json()["summaries"]) == 1


def test_items_of_method_and_path_are_refused(api: Api) -> None:
    """Without a type an item names no operation."""
    items = [{"method": "GET", "path": "/api/v1/ping", "idempotency_key": "12345678"}]
    assert "items.0._type" in refusal(api.post("/bulk", {"items": items}), 422)["errors"]


def test_too_many_items_are_too_large(store: Store) -> None:
    """A client halves what it sends."""
    api = World(store, settings=Settings(max_bulk_items=2)).account()
    items = [{"_type": "agents/list", "idempotency_key": f"key-{n:08}"} for n in range(3)]

    assert refusal(api.post("/bulk", {"items": items}), 413)["code"] == "payload_too_large"
    assert api.post("/bulk", {"items": items[:2]}).status_code == 200


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


def test_fields_may_stand_flat_or_in_details_which_win(api: Api) -> None:
    """Clients write creates and finishes either way, and both at once."""
    run = api.instance("active")
    body = api.span_body(run["id"])["details"]
    flat, wrapped, both = (
        {"_type": CREATE, **body},
        {"_type": CREATE, "details": body},
        {"_type": CREATE, **body, "schema_name": "outer", "details": {"schema_name": "inner"}},
    )
    nulled = {"_type": CREATE, **body, "details": None, "method": "POST", "path": "/x"}

    created = [output["details"] for output in api.bulk(flat, wrapped, both, nulled).values()]
    finished = api.bulk(
        {"_type": FINISH, "agent_span_id": created[0]["id"], "status": "failed"},
        {
            "_type": FINISH,
            "agent_span_id": created[1]["id"],
            "details": {"status": "failed", "result_payload": {"a": 1}},
        },
        {"_type": FINISH, "details": {"agent_span_id": created[2]["id"], "status": "failed"}},
    )

    names = [span["schema_name"] for span in created]
    assert names == ["desk:answer", "desk:answer", "inner", "desk:answer"]
    assert {output["details"]["status"] for output in finished.values()} == {"failed"}


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
