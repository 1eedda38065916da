"""The endpoints as values: what is sent is what the published clients send."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qsl

import pytest
from dirty_equals import IsDict, IsStr

from remit.client.endpoints.endpoint import Call
from remit.errors import UsageError
from remit.models.agent_instance import (
    ActionProfile,
    AgentSchemaVersionForRegister,
    AgentVersionForRegister,
    DataCategories,
    DataRisk,
    QualitySchemaForCreate,
    SpanTypeSchemaForCreate,
)
from remit.models.bulk import BulkItem
from tests.calls import OURS, Write, again
from tests.inside import described
from tests.subtests import each
from tests.vectors import Exchange

ID = "013xrzp12g3nqk8n0123456789abcdef"
VERSIONS: dict[str, Any] = {"agent_version": {"name": "n"}, "agent_schema_version": {}}
MADE = IsStr(regex="[0-9a-hjkmnp-tv-z]{26}")


Json: TypeAlias = Any
"""A JSON value."""


def body(call: Call[Any]) -> Json:
    """Return what *call* sends."""
    assert call.body is not None
    return json.loads(call.body)


@each("exchange", OURS, ids=str)
def test_what_is_sent_is_what_the_published_client_sent(exchange: Exchange) -> None:
    """Method, path and body are the same; a key is added where it sent none."""
    call = again(exchange)
    assert call.method == exchange.method
    assert call.path == exchange.path.partition("?")[0]
    assert call.query == tuple(parse_qsl(exchange.path.partition("?")[2]))
    if exchange.body is None:
        assert call.body is None
    else:
        assert plain(body(call), exchange.body) == plain(exchange.body, exchange.body)


def plain(sent: Json, recorded: Json) -> Json:
    """Return *sent* without what differs on purpose: keys that we add, how a moment is written."""
    if isinstance(sent, dict):
        return {
            name: plain(value, recorded.get(name))
            for name, value in cast("dict[str, Json]", sent).items()
            if name != "idempotency_key" or name in recorded
        }
    if isinstance(sent, list):
        pairs = zip(cast("list[object]", sent), recorded, strict=True)
        return [plain(value, old) for value, old in pairs]
    if isinstance(sent, str) and re.match(r"\d{4}-\d\d-\d\dT", sent):
        return datetime.fromisoformat(sent).replace(tzinfo=UTC)
    return sent


WRITES: dict[str, Write] = {
    "register": partial(described.register_instance, **VERSIONS),
    "start": partial(described.start_instance, ID),
    "finish": partial(described.finish_instance, ID),
    "terminate": partial(described.terminate_instance, ID, reason="r"),
    "quality": partial(described.record_quality, ID, name="n", payload={}),
    "create span": partial(
        described.create_span, agent_instance_id=ID, schema_name="n", status="active"
    ),
    "finish span": partial(described.finish_span, ID),
    "create agent": partial(described.create_agent, name="n"),
}


@each("write", WRITES.values(), ids=list(WRITES))
def test_every_write_carries_a_key(write: Write) -> None:
    """A new key is made for each call, unless one is given."""
    assert body(write())["idempotency_key"] == MADE
    assert body(write())["idempotency_key"] != body(write())["idempotency_key"]
    assert body(write(idempotency_key="k"))["idempotency_key"] == "k"
    assert body(write(idempotency_key="k" * 64))["idempotency_key"] == "k" * 64


@each("write", WRITES.values(), ids=list(WRITES))
@each("key", ["", "k" * 65], ids=["empty", "65"])
def test_a_key_of_a_wrong_length_is_refused(write: Write, key: str) -> None:
    """The API takes 1 to 64 characters."""
    with pytest.raises(UsageError, match=rf"idempotency_key has {len(key)} characters.*1 to 64"):
        write(idempotency_key=key)


def test_a_span_carries_its_key_in_both_places() -> None:
    """The two published clients send it in different places."""
    sent = body(
        described.create_span(
            agent_instance_id=ID,
            schema_name="n",
            status="complete",
            payload={"a": [1, None]},
            result_payload={"b": None},
            idempotency_key="k",
        )
    )
    assert sent == {
        "details": {
            "agent_instance_id": ID,
            "schema_name": "n",
            "status": "complete",
            "payload": {"a": [1, None]},
            "result_payload": {"b": None},
            "idempotency_key": "k",
        },
        "idempotency_key": "k",
    }


def test_models_are_sent_as_the_dictionaries_that_they_stand_for() -> None:
    """Fields that are not set are left out; `schema_` is sent as `schema`."""
    risk = DataRisk(
        action_profile=ActionProfile(),
        params_data_categories=DataCategories(),
        result_data_categories=DataCategories(),
    )
    span = SpanTypeSchemaForCreate(name="s", params_schema={"default": None}, data_risk=risk)
    quality = QualitySchemaForCreate.model_validate({"name": "q", "schema": {}})
    as_model = described.register_instance(
        agent_version=AgentVersionForRegister(name="n"),
        agent_schema_version=AgentSchemaVersionForRegister(
            span_type_schemas=[span], quality_schemas=[quality]
        ),
        idempotency_key="k",
    )
    as_dict = described.register_instance(
        agent_version={"name": "n"},
        agent_schema_version={
            "span_type_schemas": [span],
            "quality_schemas": [{"name": "q", "schema": {}}],
        },
        idempotency_key="k",
    )
    assert body(as_model) == body(as_dict)
    (sent,) = body(as_model)["agent_schema_version"]["span_type_schemas"]
    assert sent == {
        "name": "s",
        "params_schema": {"default": None},
        "data_risk": IsDict(risk.model_dump()),
    }


def test_a_member_that_only_a_newer_server_knows_is_sent() -> None:
    """The request's model checks what it knows, and drops nothing."""
    call = described.register_instance(
        agent_version={"name": "n", "mood": "good"},
        agent_schema_version={"toolSchemas": {}},
    )
    assert body(call) == {
        "agent_version": {"name": "n", "mood": "good"},
        "agent_schema_version": {"toolSchemas": {}},
        "update_current_version": True,
        "idempotency_key": MADE,
    }


@each(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05.000000Z"),  # noqa: DTZ001 - a user's
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2026-01-02T03:04:05.000006Z"),
        (
            datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))),
            "2026-01-02T01:04:05.000000Z",
        ),
        ("2026-01-02", "2026-01-02"),
        (None, None),
    ],
    ids=["naive", "utc", "zone", "text", "none"],
)
def test_a_moment_is_sent_in_utc(moment: datetime | str | None, text: str | None) -> None:
    """A datetime without a zone is UTC; text is sent as it is."""
    assert body(described.start_instance(ID, timestamp=moment))["timestamp"] == text
    assert body(described.finish_instance(ID, timestamp=moment)).get("timestamp") == text
    assert body(described.finish_span(ID, timestamp=moment)).get("timestamp") == text


@each(
    ("write", "named"),
    [
        (partial(described.finish_instance, ID, status="done"), "status: Input should be"),
        (partial(described.register_instance, **VERSIONS, purpose="fun"), "purpose"),
        (partial(described.register_instance, **VERSIONS, mood="good"), "does not know 'mood'"),
        (partial(described.register_instance, agent_version={}), "agent_schema_version"),
        (partial(described.create_agent, title="x"), "does not know 'title'"),
        (partial(described.record_quality, ID, name="n", payload=[1]), "payload"),
        (partial(described.terminate_instance, ID, reason=None), "reason"),
        (partial(described.list_spans, agent_id="a", limit=3), "does not know 'limit'"),
        (partial(described.list_spans), "agent_instance_id or agent_id"),
        (partial(described.list_instances, agent_id=""), "needs agent_id"),
        (partial(described.list_instances, agent_id="a", page_size=101), "1 to 100"),
        (partial(described.list_instances, agent_id="a", page_size=0), "1 to 100"),
        (partial(described.list_instances, agent_id="a", offset=-1), "0 or more"),
        (partial(described.show_agent), "either agent_id or external_identifier"),
        (partial(described.show_agent, agent_id="a", external_identifier="b"), "either"),
        (partial(described.get_instance, ""), "expected an id"),
        (partial(described.get_instance, ".."), "expected an id"),
        (partial(described.bulk, []), "at least 1"),
        (partial(described.bulk, [{"idempotency_key": "12345678"}]), "_type"),
        (partial(described.bulk, [{"_type": "t", "idempotency_key": "short"}]), "at least 8"),
    ],
    ids=range(20),
)
def test_a_wrong_argument_is_named(write: Write, named: str) -> None:
    """The error names it, and nothing is sent."""
    with pytest.raises(UsageError, match=re.escape(named)):
        write()


@each(
    "value",
    [object(), "\ud800", "circle"],
    ids=["object", "surrogate", "circle"],
)
def test_what_json_cannot_say_is_refused_without_being_quoted(value: object) -> None:
    """The value may be a user's data, and the error may be logged."""
    payload: dict[str, object] = {"note": "s3cret", "value": value}
    if value == "circle":
        payload["value"] = payload
    with pytest.raises(UsageError, match="JSON cannot express") as caught:
        described.record_quality(ID, name="n", payload=payload)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_numbers_that_json_has_not_are_null() -> None:
    """NaN would make the whole body unreadable."""
    call = described.record_quality(ID, name="n", payload={"a": float("nan"), "b": float("inf")})
    assert body(call)["payload"] == {"a": None, "b": None}


def test_a_wrong_payload_is_not_quoted() -> None:
    """The error does not chain pydantic's own, which quotes it."""
    with pytest.raises(UsageError) as caught:
        described.finish_span(ID, result_payload="s3cret")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None or "s3cret" not in repr(caught.value.__context__)


def test_a_call_does_not_show_its_payload() -> None:
    """Its `repr` names method and path."""
    call = described.record_quality(ID, name="n", payload={"a": "s3cret"})
    assert "s3cret" not in repr(call)
    assert "record_quality" in repr(call)


def test_an_id_is_one_segment_of_the_path() -> None:
    """Whatever it holds, the request goes to the same endpoint."""
    assert described.get_instance("a/b?c#d").path == "/api/v1/agent_instance/a%2Fb%3Fc%23d"


def test_a_list_is_asked_for_as_the_api_pages() -> None:
    """Offset and size are sent in brackets; what is not asked for is not sent."""
    call = described.list_spans(
        agent_instance_id=ID,
        start_time=datetime(2026, 1, 2, tzinfo=UTC),
        include_summaries=True,
        include_risk_level=False,
        offset=0,
        page_size=50,
        sorting="-started_at",
        agent_id=None,
    )
    assert (call.method, call.path, call.body) == ("GET", "/api/v1/agent_spans", None)
    assert call.query == (
        ("agent_instance_id", ID),
        ("start_time", "2026-01-02T00:00:00.000000Z"),
        ("include_summaries", "true"),
        ("pagination[offset]", "0"),
        ("pagination[page_size]", "50"),
        ("sorting", "-started_at"),
    )


def test_bulk_items_are_sent_as_given() -> None:
    """They may be models or mappings; a key is made where there is none."""
    call = described.bulk(
        [
            BulkItem.model_validate({"_type": "agents/list", "idempotency_key": "12345678"}),
            {"_type": "agent_spans/finish", "agent_span_id": ID, "details": {"status": "failed"}},
        ]
    )
    assert (call.method, call.path) == ("POST", "/api/v1/bulk")
    assert body(call) == {
        "items": [
            {"_type": "agents/list", "idempotency_key": "12345678"},
            {
                "_type": "agent_spans/finish",
                "agent_span_id": ID,
                "details": {"status": "failed"},
                "idempotency_key": MADE,
            },
        ]
    }


def test_a_raw_bulk_body_is_not_parsed() -> None:
    """Its bytes are sent unchanged."""
    call = described.bulk_raw(b'{"items":[{"a":1}, {"b":2}]}')
    assert call.body == b'{"items":[{"a":1}, {"b":2}]}'


def test_a_call_is_equal_to_another_that_sends_the_same() -> None:
    """The parser is not compared."""
    assert described.start_instance(ID, idempotency_key="k") == described.start_instance(
        ID, idempotency_key="k"
    )
