"""A key that is used twice in an object is rejected: readers differ in which of the two counts."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.collecting import Api, details, refusal
from tests.subtests import each

Json = Any
SPAN: Final = (
    '"agent_instance_id":"RUN","schema_name":"desk:answer","status":"complete","payload":{"a":1}'
)


def span_of(value: str) -> str:
    """Return the details of a span with this value in its payload."""
    return "{" + SPAN.replace("1", value) + "}"


def item(text: str) -> str:
    """Return a bulk request with one item that creates a span, with these details."""
    return (
        f'{{"items":[{{"_type":"agent_spans/create","idempotency_key":"KEY","details":{text}}}]}}'
    )


def sent(api: Api, path: str, text: str) -> Json:
    """Return what is answered to a body, made for a new run."""
    run_id = api.instance()["id"]
    body = text.replace("RUN", run_id).replace("AGENT", api.agent_id or "")
    body = body.replace("KEY", f"key-{run_id}")
    return api.post(path, content=body)


@each(
    ("path", "text", "key"),
    [
        (
            "/api_token",
            '{"details":{"token_scope":"account","token_scope":"account"}}',
            "token_scope",
        ),
        ("/agent", '{"details":{"name":"A"},"details":{"name":"B"}}', "details"),
        ("/agent", '{ "details" : { "name" : "A" , "n\\u0061me" : "B" } }', "name"),
        (
            "/agent",
            '{"name":"A","details":{"name":"B","description":null,"description":""}}',
            "description",
        ),
        (
            "/agent_instance/register",
            '{"agent_id":"AGENT","agent_version":{"name":"1","name":"2"},"agent_schema_version":{}}',
            "name",
        ),
        ("/agent_spans", f'{{"details":{{{SPAN},"status":"failed"}}}}', "status"),
        (
            "/agent_spans",
            f'{{"details":{{{SPAN},"result_payload":{{"b":[{{"a":1,"a":1.0}}]}}}}}}',
            "a",
        ),
        ("/bulk", f'{{"items":[],{item("{" + SPAN + "}")[1:]}', "items"),
        (
            "/bulk",
            item("{" + SPAN + "}").replace('"details"', '"_type":"agents/create","details"'),
            "_type",
        ),
        (
            "/bulk",
            '{"items":[{"_type":"agents/show","idempotency_key":"abcdefgh","agent_id":"a","agent_id":"b"}]}',
            "agent_id",
        ),
        (
            "/bulk",
            '{"items":[{"method":"GET","path":"/api/v1/ping","path":"/api/v1/account"}]}',
            "path",
        ),
        ("/bulk", item(f'{{{SPAN},"status":"failed"}}'), "status"),
        ("/bulk", item(f'{{{SPAN},"agent_instance_id":"RUN"}}'), "agent_instance_id"),
        ("/bulk", item(f'{{{SPAN},"payload":{{"a":2}}}}'), "payload"),
        ("/bulk", item(span_of('{"b":1,"b":1}')), "b"),
        ("/bulk", item(f'{{{SPAN},"unknown":1e5,"unknown":2}}'), "unknown"),
    ],
    ids=lambda value: value if len(value) < 30 else "",
)
def test_a_key_that_comes_twice_is_refused(api: Api, path: str, text: str, key: str) -> None:
    """The message names it; a bulk request is rejected as a whole."""
    refused = refusal(sent(api, path, text), 400)
    assert refused["code"] == "bad_request"
    assert repr(key) in refused["message"]


@each(
    "text",
    [
        f"{{{SPAN}}}",
        f'{{{SPAN}, "parent_span_id": null, "id": null, "finished_at": null}}',
        f'{{{SPAN},"unknown":{{"status":1}},"payload_read":1e5,"result_read":[1.10]}}',
        span_of('[1E5, 1.0, -0, 123456789012345678901234567890, "\\u00e9\\/"]'),
        span_of(json.dumps({"a": {"a": {"a": "é"}}, "b": [{"a": 1}, {"a": 1}]})),
    ],
)
def test_an_item_that_is_written_in_another_way_is_taken(api: Api, text: str) -> None:
    """Spaces, escapes, other forms of a number, and the same key in several objects."""
    (output,) = sent(api, "/bulk", item(text)).json()["outputs"].values()
    assert output["details"]["schema_name"] == "desk:answer"


def test_a_request_that_is_written_in_another_way_is_taken(api: Api) -> None:
    """So does a client that indents what it sends."""
    body = json.dumps({"details": {"name": "Ä", "description": "a\nb"}}, indent=2)
    assert details(api.post("/agent", content=body))["name"] == "Ä"
