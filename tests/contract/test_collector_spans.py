"""Spans: creation in every state, finish, times, ids, unusual orders, the control signal."""

from __future__ import annotations

from typing import Any

import pytest
from dirty_equals import IsStr

from remit.models.agent_span import AgentSpan
from remit.testing import FakeClock
from tests.collecting import FINISHED, NOBODY, Api, World, details, refusal
from tests.stores import ON_ONE_SERVER, on_each_store
from tests.subtests import each

AT = "2026-01-02T03:04:05.678901Z"
LATER = "2026-01-02T03:04:06.000000Z"
STATUSES = ("pending", "active", *FINISHED)


def counts_of(api: Api, instance_id: str) -> dict[str, int]:
    """Return how many spans of an instance stand where, without the zeros."""
    counts: dict[str, int] = api.shown(instance_id)["span_counts"]
    return {name: count for name, count in counts.items() if count}


@on_each_store
def test_a_span_has_every_key_that_a_reader_needs(api: Api) -> None:
    """What is worked out later, or not at all, is there and null."""
    run = api.instance("active")

    made = api.span(run["id"], started_at=AT, sensitive_encoding=True)

    assert made == {
        "type": "agent_span",
        "id": IsStr(regex="[0-7][0-9a-hjkmnp-tv-z]{31}"),
        "account_id": run["account_id"],
        "agent_id": run["agent_id"],
        "agent_instance_id": run["id"],
        "parent_span_id": None,
        "schema_name": "desk:answer",
        "schema_title": "Answer",
        "status": "active",
        "payload": {"question": "why"},
        "result_payload": None,
        "summary": None,
        "started_at": AT,
        "finished_at": None,
        "sensitive_encoding": True,
        "risk_level": None,
        "risk_score": None,
        "purpose": "live",
        "valid": True,
        "schema_errors": [],
        "payload_byte_size_estimate": 18,
        "inserted_at": IsStr(regex=r".{19}\.\d{6}Z"),
        "updated_at": made["inserted_at"],
    }
    AgentSpan.model_validate(made)
    assert api.spans(run["id"]) == [made]


@on_each_store
@each("status", STATUSES)
def test_a_span_can_be_created_in_any_state(api: Api, clock: FakeClock, status: str) -> None:
    """A start that is not named is now, an end likewise; a pending span has neither."""
    run = api.instance("active")
    clock.advance(1)

    made = api.span(run["id"], status=status)

    now = made["inserted_at"]
    assert made["status"] == status
    assert made["started_at"] == (None if status == "pending" else now)
    assert made["finished_at"] == (now if status in FINISHED else None)
    assert counts_of(api, run["id"]) == {
        "total": 1,
        status: 1,
        **({"finished": 1} if status in FINISHED else {}),
    }


@on_each_store
def test_a_span_that_is_sent_when_it_ended_keeps_its_times_and_result(api: Api) -> None:
    """The SDK sends every span so that ends within one interval."""
    run = api.instance("active")

    made = api.span(
        run["id"], status="failed", started_at=AT, finished_at=LATER, result_payload={"why": "x"}
    )

    assert (made["started_at"], made["finished_at"]) == (AT, LATER)
    assert made["result_payload"] == {"why": "x"}


@on_each_store
@each(
    ("before", "after"),
    [
        ("active", "complete"),
        ("active", "failed"),
        ("active", "cancelled"),
        ("pending", "cancelled"),
    ],
)
def test_a_span_is_finished(api: Api, before: str, after: str) -> None:
    """An active one may be finished as cancelled, as the Python client does."""
    run = api.instance("active")
    made = api.span(run["id"], status=before, started_at=AT)

    body = {"status": after, "timestamp": LATER, "result_payload": {"n": 1}}
    done = details(api.post(f"/agent_spans/{made['id']}/finish", body))

    assert (done["status"], done["finished_at"]) == (after, LATER)
    assert done["started_at"] == (LATER if before == "pending" else AT)
    assert done["result_payload"] == {"n": 1}
    assert counts_of(api, run["id"]) == {"total": 1, after: 1, "finished": 1}


def test_finish_without_a_body_means_complete_and_now(api: Api, clock: FakeClock) -> None:
    """A result that was not given is none."""
    made = api.span(api.instance("active")["id"])
    clock.advance(2)

    done = details(api.post(f"/agent_spans/{made['id']}/finish"))

    assert (done["status"], done["result_payload"]) == ("complete", None)
    assert done["finished_at"] == done["updated_at"] > made["inserted_at"]


@each(
    ("before", "after"),
    [(before, after) for before in FINISHED for after in FINISHED]
    + [("pending", "complete"), ("pending", "failed")],
)
def test_a_finish_that_the_state_does_not_allow_is_a_conflict(
    api: Api, before: str, after: str
) -> None:
    """Its code is the only one that every client takes for "it is done already"."""
    made = api.span(api.instance("active")["id"], status=before)
    shown = api.spans(made["agent_instance_id"])

    answer = refusal(api.post(f"/agent_spans/{made['id']}/finish", {"status": after}), 409)

    assert answer["code"] == "invalid_action"
    assert api.spans(made["agent_instance_id"]) == shown


@on_each_store
def test_a_second_finish_says_what_the_span_is(api: Api) -> None:
    """The published clients accept these words."""
    made = api.span(api.instance("active")["id"], status="failed")

    answer = refusal(api.post(f"/agent_spans/{made['id']}/finish"), 409)

    assert answer["message"] == "span is already failed"


@on_each_store
def test_a_payload_is_kept_to_the_byte(api: Api) -> None:
    """Order of keys, number forms and escapes come back as they went in."""
    run = api.instance("active")
    payload = b'{"z":1.0,"a":[1e2,-0.0,12345678901234567890],"t":"\\u00e9\xc3\xa9\\u0000","o":{}}'
    body = (
        b'{"details":{"agent_instance_id":"%b","schema_name":"x","status":"active","payload":%b}}'
        % (run["id"].encode(), payload)
    )

    made = api.post("/agent_spans", content=body)

    assert payload in made.content
    assert payload in api.get("/agent_spans", agent_instance_id=run["id"]).content


@on_each_store
def test_the_sensitive_flag_is_kept(api: Api) -> None:
    """A finish can raise it, and does not lower it."""
    run = api.instance("active")
    plain, marked = api.span(run["id"]), api.span(run["id"], sensitive_encoding=True)

    def finish(span: dict[str, Any], **body: bool) -> bool:
        done = details(api.post(f"/agent_spans/{span['id']}/finish", body))
        flag: bool = done["sensitive_encoding"]
        return flag

    assert finish(plain, sensitive_encoding=True)
    assert finish(marked)


@on_each_store
@each("status", ["pending", "complete", "failed", "cancelled", "terminated"])
def test_spans_are_taken_whatever_the_run_is(api: Api, status: str) -> None:
    """Clients send spans before the start was answered, and finish them after the run ended."""
    run = api.instance("pending")
    before = api.span(run["id"])
    if status != "pending":
        path = f"/agent_instance/{run['id']}"
        if status == "terminated":
            details(api.post(f"{path}/start"))
            details(api.post(f"{path}/terminate", {"reason": "r"}))
        else:
            details(api.post(f"{path}/finish", {"status": status}))

    after = api.span(run["id"], parent_span_id=before["id"])

    assert details(api.post(f"/agent_spans/{before['id']}/finish"))["status"] == "complete"
    assert details(api.post(f"/agent_spans/{after['id']}/finish"))["status"] == "complete"


@on_each_store
@each("parent", [NOBODY, "0ec9b9f2-0e5e-4a6d-a9f1-4b9e4ae1a9c3"], ids=["pfid", "uuid"])
def test_a_parent_that_does_not_exist_is_kept_as_given(api: Api, parent: str) -> None:
    """A client may start a child before it knows the id of its parent."""
    run = api.instance("active")

    assert api.span(run["id"], parent_span_id=parent)["parent_span_id"] == parent


def test_children_of_a_finished_parent_are_taken(api: Api) -> None:
    """The TypeScript client sends a parent when it ends, and its children after it."""
    run = api.instance("active")
    parent = api.span(run["id"], status="complete")

    child = api.span(run["id"], status="complete", parent_span_id=parent["id"])

    assert child["parent_span_id"] == parent["id"]


def test_an_undeclared_type_is_taken_and_shows_its_name(api: Api) -> None:
    """Adapters send such."""
    run = api.instance("active")

    assert api.span(run["id"], schema_name="custom:step")["schema_title"] == "custom:step"
    assert api.span(run["id"], schema_name="desk:plain")["schema_title"] == "desk:plain"


def test_open_spans_of_a_terminated_run_stay_open(api: Api) -> None:
    """The client can still finish them."""
    run = api.instance("active")
    api.span(run["id"])
    details(api.post(f"/agent_instance/{run['id']}/terminate", {"reason": "r"}))

    assert counts_of(api, run["id"]) == {"total": 1, "active": 1}


@on_each_store
def test_spans_of_a_terminated_run_are_answered_with_a_control_signal(api: Api) -> None:
    """It is at the top level on create and finish, and absent without a termination."""
    run = api.instance("active")
    path = "/agent_spans"
    before = api.post(path, api.span_body(run["id"])).json()
    assert "control" not in before
    details(api.post(f"/agent_instance/{run['id']}/terminate", {"reason": "too dear"}))

    created = api.post(path, api.span_body(run["id"])).json()
    finished = api.post(f"{path}/{before['details']['id']}/finish").json()
    outputs = api.bulk(
        {"_type": "agent_spans/create", **api.span_body(run["id"])},
        {"_type": "agent_spans/finish", "agent_span_id": created["details"]["id"]},
    )

    for answer in (created, finished, *outputs.values()):
        assert answer["status"] == "success"
        assert answer["control"] == {"terminate": True, "reason": "too dear"}


@on_each_store
def test_a_client_may_choose_the_id(api: Api) -> None:
    """An equal creation for it answers the span as it is now."""
    run = api.instance("active")
    chosen = details(api.post("/pfid/generate"))["pfids"][0]
    body = api.span_body(run["id"], id=chosen, payload={"a": 1, "b": [1.5]})

    first = api.post("/agent_spans", body).json()
    finished = api.post(f"/agent_spans/{chosen}/finish", {"result_payload": {}}).json()
    body["details"]["payload"] = {"b": [1.5], "a": 1}
    equal = api.post("/agent_spans", {**body, "idempotency_key": "another"}).json()

    assert first["details"]["id"] == chosen
    assert equal == finished
    assert counts_of(api, run["id"]) == {"total": 1, "complete": 1, "finished": 1}


@on_each_store
@each(
    "change",
    [
        {"payload": {"question": "how"}},
        {"status": "complete"},
        {"schema_name": "other"},
        {"parent_span_id": NOBODY},
        {"started_at": AT},
        {"sensitive_encoding": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_taken_id_is_refused_to_another_span(api: Api, change: dict[str, Any]) -> None:
    """The first span does not change."""
    run = api.instance("active")
    chosen = details(api.post("/pfid/generate"))["pfids"][0]
    made = api.span(run["id"], id=chosen)

    answer = refusal(api.post("/agent_spans", api.span_body(run["id"], id=chosen, **change)), 422)

    assert answer["errors"] == {"id": ["has already been taken"]}
    assert api.spans(run["id"]) == [made]


@pytest.mark.parametrize("store_kind", ON_ONE_SERVER)
def test_an_id_is_taken_in_every_run_of_the_account(world: World, api: Api) -> None:
    """A finish names a span by its id alone. Another account does not even learn of it."""
    foreign = world.foreign()
    chosen = details(api.post("/pfid/generate"))["pfids"][0]
    api.span(api.instance("active")["id"], id=chosen)
    elsewhere = foreign.span(foreign.instance("active")["id"], id=chosen)

    refusal(api.post("/agent_spans", api.span_body(api.instance("active")["id"], id=chosen)), 422)
    done = details(foreign.post(f"/agent_spans/{chosen}/finish"))

    assert done["agent_instance_id"] == elsewhere["agent_instance_id"]
    open_span = details(api.post(f"/agent_spans/{chosen}/finish"))
    assert open_span["account_id"] != done["account_id"]


@each(
    ("change", "field"),
    [
        ({"agent_instance_id": None}, "agent_instance_id"),
        ({"agent_instance_id": 5}, "agent_instance_id"),
        ({"schema_name": None}, "schema_name"),
        ({"schema_name": ""}, "schema_name"),
        ({"schema_name": "a\x00"}, "schema_name"),
        ({"status": None}, "status"),
        ({"status": "terminated"}, "status"),
        ({"status": "running"}, "status"),
        ({"payload": None}, "payload"),
        ({"payload": []}, "payload"),
        ({"payload": "text"}, "payload"),
        ({"result_payload": 5, "status": "complete"}, "result_payload"),
        ({"result_payload": {}}, "result_payload"),
        ({"result_payload": {}, "status": "pending"}, "result_payload"),
        ({"id": "mine"}, "id"),
        ({"parent_span_id": 5}, "parent_span_id"),
        ({"parent_span_id": ""}, "parent_span_id"),
        ({"started_at": "soon"}, "started_at"),
        ({"started_at": 5}, "started_at"),
        ({"finished_at": "never"}, "finished_at"),
        ({"sensitive_encoding": "true"}, "sensitive_encoding"),
        ({"sensitive_encoding": 1}, "sensitive_encoding"),
    ],
)
def test_a_wrong_field_of_a_span_is_named(api: Api, change: dict[str, Any], field: str) -> None:
    """Nothing is stored."""
    run = api.instance("active")

    answer = refusal(api.post("/agent_spans", api.span_body(run["id"], **change)), 422)

    assert list(answer["errors"]) == [field]
    assert api.spans(run["id"]) == []


def test_what_a_span_must_say_is_asked_for_all_at_once(api: Api) -> None:
    """The message names every field that is missing."""
    answer = refusal(api.post("/agent_spans", {"details": {}}), 422)

    assert sorted(answer["errors"]) == ["agent_instance_id", "schema_name", "status"]


@each(
    ("body", "field"),
    [
        ({"status": "active"}, "status"),
        ({"status": 5}, "status"),
        ({"result_payload": []}, "result_payload"),
        ({"timestamp": "soon"}, "timestamp"),
        ({"sensitive_encoding": "no"}, "sensitive_encoding"),
    ],
)
def test_a_wrong_field_of_a_finish_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    """The span stays open."""
    made = api.span(api.instance("active")["id"])

    answer = refusal(api.post(f"/agent_spans/{made['id']}/finish", body), 422)

    assert list(answer["errors"]) == [field]
    assert api.spans(made["agent_instance_id"]) == [made]


def test_what_does_not_exist_is_not_found(api: Api) -> None:
    """The published clients read these words."""
    run = refusal(api.post("/agent_spans", api.span_body(NOBODY)), 404)
    span = refusal(api.post(f"/agent_spans/{NOBODY}/finish"), 404)

    assert (run["code"], run["message"]) == ("not_found", "agent_instance not found")
    assert (span["code"], span["message"]) == ("not_found", "agent_span not found")
