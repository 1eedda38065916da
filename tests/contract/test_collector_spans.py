"""Spans: creation in every state, finish, times, ids, unusual orders, the control signal."""

from __future__ import annotations

from typing import Any

import pytest

from tests.collecting import NOBODY, Api, World, details, refusal
from tests.stores import ON_ONE_SERVER, on_each_store
from tests.subtests import each

AT = "2026-01-02T03:04:05.678901Z"


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
    assert api.shown(run["id"])["span_counts"]["total"] == 1


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
