"""`Prefer: return=minimal`: a client is answered with what the SDK reads, and changes the same."""

from __future__ import annotations

import json
from typing import Any, Final

from remit.client import Client
from tests.asgi import AsgiTransport
from tests.collecting import URL, Api, World
from tests.inside import HttpClient, bulk_raw, httpx
from tests.stores import on_each_store
from tests.subtests import each

MINIMAL: Final = {"Prefer": "return=minimal"}
RUN: Final = {"id", "status", "termination_reason", "agent_id"}


def preferring(api: Api, path: str, body: dict[str, Any], prefer: str) -> httpx.Response:
    """Return the answer to a request with a preference."""
    answer = api.post(path, body, headers={"Prefer": prefer})
    assert answer.status_code == 200, answer.text
    return answer


@on_each_store
def test_the_outputs_of_a_bulk_request_have_what_the_sdk_reads(api: Api) -> None:
    """Also those of a repetition; a terminated run is signalled, and refusals are complete."""
    run = api.instance("pending")["id"]
    span = {"_type": "agent_spans/create", **api.span_body(run)}
    steps = ({"_type": "agent_instances/start"}, {"_type": "agent_instances/terminate"})
    items = [
        {"_type": "agent_instances/register", **api.registration()},
        *({**step, "agent_instance_id": run, "reason": "r"} for step in steps),
        span,
        {"_type": "agent_instances/show", "agent_instance_id": run},
        {"_type": "agent_spans/finish", "agent_span_id": run},
    ]
    keyed = [{**item, "idempotency_key": f"key-{n:04}"} for n, item in enumerate(items)]

    first, again = (preferring(api, "/bulk", {"items": keyed}, MINIMAL["Prefer"]) for _ in range(2))

    assert first.headers["preference-applied"] == MINIMAL["Prefer"]
    registered, started, ended, made, shown, refused = first.json()["outputs"].values()
    assert registered["details"].keys() == started["details"].keys() == RUN
    assert registered["keeps_schema"] is True
    assert registered["agent"]["id"] == api.agent_id
    assert (started["details"]["status"], ended["details"]["status"]) == ("active", "terminated")
    assert made["details"].keys() == {"id"}
    assert made["control"] == {"terminate": True, "reason": "r"}
    assert shown["details"] == api.shown(run)
    assert refused["code"] == "not_found"
    assert [output["status"] for output in again.json()["outputs"].values()] == [
        output["status"] for output in first.json()["outputs"].values()
    ]
    assert len(api.spans(run)) == 1


@each("path", ["start", "finish", "terminate", "record_quality"])
def test_a_step_on_a_run_is_answered_with_what_the_sdk_reads(api: Api, path: str) -> None:
    """The preference may be one of several, in any case."""
    run = api.instance("pending" if path == "start" else "active")["id"]
    body = {"reason": "r", "name": "q", "payload": {}}

    answer = preferring(api, f"/agent_instance/{run}/{path}", body, "wait=5, Return=Minimal")

    assert answer.json()["details"].keys() == RUN


@each("path", ["/agent", "/api_token", "/agent_spans/create_test_spans"])
def test_other_creations_are_answered_as_always(api: Api, path: str) -> None:
    """A preference may be ignored, and then the answer does not name it."""
    run = api.instance("active")["id"]
    body = {"details": {"name": "x", "token_scope": "account"}, "agent_instance_id": run}

    answer = preferring(api, path, body, MINIMAL["Prefer"])

    assert "preference-applied" not in answer.headers
    assert answer.json().get("token", "") or "type" in answer.text


def test_the_sender_prefers_it_and_the_client_does_not(world: World, api: Api) -> None:
    """The client returns the span to the program, which may read all of it."""
    run = api.instance("active")["id"]
    item = {"_type": "agent_spans/create", "idempotency_key": "key-0001", **api.span_body(run)}
    body = json.dumps({"items": [item]}).encode()
    answers: list[httpx.Response] = []

    def answer(request: httpx.Request) -> httpx.Response:
        answers.append(AsgiTransport(world.app).handle_request(request))
        answers[-1].read()
        return answers[-1]

    transport = httpx.MockTransport(answer)
    secret = api.http.headers["Authorization"].partition(" ")[2]
    HttpClient(URL, secret, transport=transport).send(bulk_raw(body))
    with Client(URL, secret, transport=transport) as client:
        client.bulk.execute([{**item, "idempotency_key": "key-0002"}])

    applied = ["preference-applied" in each.headers for each in answers]
    assert applied == [True, False]
    assert len(api.spans(run)) == 2
