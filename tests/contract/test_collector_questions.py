"""The API that only remit has: lists of runs and spans, counts, changes, and one span."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from remit.collector import Settings, Store
from remit.models.remit_api import ChangeList, CountList, RedactedList, RunList, SpanList
from remit.testing import FakeClock
from tests.collecting import NOBODY, Api, Json, World, details, refusal
from tests.stores import on_each_store
from tests.subtests import each

OWN = "/api/remit/v1"
MODELS: dict[str, type[BaseModel]] = {
    "/runs": RunList,
    "/spans": SpanList,
    "/counts": CountList,
    "/changes": ChangeList,
    "/redacted": RedactedList,
}
ANN = hashlib.sha256(b"ann").hexdigest()
HELD = {"$remit": "redacted", "rule": "type:Sensitive"}
RISK = {
    "action_profile": {"read_data": "allowed"},
    "params_data_categories": {"contact_information": "included"},
    "result_data_categories": {"contact_information": "included", "minors_data": "included"},
}
SCHEMA = {
    "external_identifier": "risky",
    "span_type_schemas": [
        {"name": "desk:ask", "title": "Ask", "params_schema": {}, "data_risk": RISK},
        {
            "name": "desk:count",
            "params_schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
            "template": "{{ n }} counted",
        },
    ],
}


def read(api: Api, path: str, **query: Json) -> dict[str, Any]:
    """Return an answer; it is as its model says."""
    response = api.http.get(OWN + path, params=query)
    assert response.status_code == 200, response.text
    MODELS[path].model_validate_json(response.content)
    answer: dict[str, Any] = response.json()
    assert answer["status"] == "success"
    return answer


def refused(api: Api, path: str, code: int, /, **query: Json) -> dict[str, Any]:
    """Return a refusal."""
    return refusal(api.http.get(OWN + path, params=query), code)


def run_ids(api: Api, **query: Json) -> list[str]:
    """Return the ids of the listed runs."""
    return [run["id"] for run in read(api, "/runs", **query)["runs"]]


def span_ids(api: Api, **query: Json) -> list[str]:
    """Return the ids of the listed spans."""
    return [span["id"] for span in read(api, "/spans", **query)["spans"]]


@dataclass
class Desk:
    """Runs of two agents in an account, one of the first with spans of each kind.

    Attributes:
        api: The view of the account's token.
        other: The same with the other agent.
        run: The run with the spans.
        plain: A complete run of the same agent.
        foreign: A failed run of the other agent.
        spans: The ids of the spans, by what is to be noticed about them.
    """

    api: Api
    other: Api
    run: str
    plain: str
    foreign: str
    spans: dict[str, str]


def finished(
    api: Api, run_id: str, result: Json = None, status: str = "complete", **more: Json
) -> str:
    """Return the id of a new span that has ended."""
    span = api.span(run_id, **more)
    body = {"status": status, **({} if result is None else {"result_payload": result})}
    details(api.post(f"/agent_spans/{span['id']}/finish", body))
    span_id: str = span["id"]
    return span_id


@pytest.fixture
def desk(world: World, clock: FakeClock) -> Desk:
    """Return two agents with runs."""
    api, other = world.account(), world.account()
    run = api.instance(
        "active", agent_schema_version=SCHEMA, external_identifier="key-1", purpose="eval"
    )["id"]
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    root = {"labels": {"team": "blue", "urgent": ""}, "subject": "ann", **trace}
    spans = {"root": api.span(run, schema_name="remit:run", payload=root)["id"]}
    clock.advance(1)
    violations = [{"sentence": "not that"}, {"sentence": "nor that"}]
    error = {"type": "DeniedError", "message": "no", "violations": violations}
    spans["denied"] = finished(
        api, run, {"error": error}, "failed", schema_name="desk:ask", parent_span_id=spans["root"]
    )
    clock.advance(1)
    usage = {"token_usage": {"prompt_tokens": 30, "completion_tokens": 12}}
    violation = {"$remit": {"violations": [{"sentence": "one"}, {"sentence": "two"}]}}
    spans["violation"] = finished(api, run, usage, schema_name="desk:ask", payload=violation)
    spans["redacted"] = finished(api, run, schema_name="desk:ask", payload={"a": HELD, "b": HELD})
    spans["invalid"] = finished(api, run, schema_name="desk:count", payload={"n": "many"})
    spans["undeclared"] = finished(api, run, schema_name="desk:new")
    spans["lost"] = finished(api, run, schema_name="remit:loss")
    spans["good"] = finished(api, run, schema_name="desk:count", payload={"n": 5})
    clock.advance(3600)
    plain = api.instance("complete")["id"]
    clock.advance(24 * 3600)
    foreign = other.instance("failed", external_identifier="key-2")["id"]
    return Desk(api, other, run, plain, foreign, spans)


@on_each_store
def test_runs_are_listed_newest_first(desk: Desk) -> None:
    """With what the vendor's list shows of each, and what is to be noticed about it."""
    answer = read(desk.api, "/runs", total="true")

    assert [run["id"] for run in answer["runs"]] == [desk.foreign, desk.plain, desk.run]
    assert (answer["next"], answer["total"]) == (None, 3)
    foreign, plain, run = answer["runs"]
    for one, api in ((plain, desk.api), (run, desk.api), (foreign, desk.other)):
        (summary,) = [
            listed
            for listed in api.get("/agent_instance", agent_id=api.agent_id).json()["summaries"]
            if listed["id"] == one["id"]
        ]
        assert {name: one[name] for name in summary} == summary
        assert one["span_counts"] == api.shown(one["id"])["span_counts"]
        assert one["agent"] == {
            "id": api.agent_id,
            "name": "Desk",
            "external_identifier": None,
        }
    assert run["flags"] == [
        "denied", "violation", "redacted", "invalid", "undeclared", "lost", "failed",
    ]  # fmt: skip
    assert (run["denied"], run["tokens"]) == (1, {"in": 30, "out": 12})
    assert run["failure"]["step"] == "desk:ask"
    assert run["failure"]["type"] == "DeniedError"
    assert run["caused_by"] == "0af7651916cd43dd8448eb211c80319c"
    assert plain["flags"] == []
    assert (plain["denied"], plain["handled"]) == (0, 0)
    assert plain["tokens"] == {"in": None, "out": None}
    assert plain["summary"] is plain["failure"] is plain["erased_at"] is None
    assert read(desk.api, "/runs")["total"] is None


def by_flag(flag: str, _: Desk) -> dict[str, Json]:
    """Return the query for a flag."""
    return {"flag": flag}


FILTERS: dict[str, tuple[Callable[[Desk], dict[str, Json]], str]] = {
    "agent": (lambda desk: {"agent_id": desk.api.agent_id}, "run plain"),
    "other agent": (lambda desk: {"agent_id": desk.other.agent_id}, "foreign"),
    "status": (lambda _: {"status": "failed"}, "foreign"),
    "agent and status": (
        lambda desk: {"agent_id": desk.api.agent_id, "status": "failed"},
        "",
    ),
    "purpose": (lambda _: {"purpose": "eval"}, "run"),
    "label": (lambda _: {"label": "team=blue"}, "run"),
    "label of another value": (lambda _: {"label": "team=red"}, ""),
    "label of any value": (lambda _: {"label": "team"}, "run"),
    "label without a value": (lambda _: {"label": "urgent="}, "run"),
    "no such label": (lambda _: {"label": "none"}, ""),
    "subject": (lambda _: {"subject_hash": ANN}, "run"),
    "no such subject": (lambda _: {"subject_hash": "ann"}, ""),
    "key": (lambda _: {"key": "key-1"}, "run"),
    "no such key": (lambda _: {"key": "key-3"}, ""),
    "cause": (lambda _: {"caused_by": "0af7651916cd43dd8448eb211c80319c"}, "run"),
    "no such cause": (lambda _: {"caused_by": "0" * 32}, ""),
    "no such fingerprint": (lambda _: {"fingerprint": "0123456789abcdef"}, ""),
    **{
        flag: (partial(by_flag, flag), "run")
        for flag in ("denied", "violation", "redacted", "invalid", "undeclared", "lost", "failed")
    },
    "empty": (lambda _: {"status": "", "agent_id": ""}, "run plain foreign"),
}  # fmt: skip


@on_each_store
def test_each_filter_of_runs_applies(desk: Desk) -> None:
    """What is not named excludes nothing."""
    for name, (query, expected) in FILTERS.items():
        ids = {getattr(desk, run) for run in expected.split()}
        answer = read(desk.api, "/runs", total="true", **query(desk))
        assert {run["id"] for run in answer["runs"]} == ids, name
        assert answer["total"] == len(ids), name


@on_each_store
def test_a_run_is_found_by_its_other_labels(world: World) -> None:
    """A label whose value is null, nested or redacted is not searchable; the others are."""
    api = world.account()
    marker: Json = {"$remit": "redacted", "rule": "name:token"}
    labels: Json = {"session": "s-1", "retry": 2, "tenant": None, "session_token": marker}
    named, words = api.instance("active")["id"], api.instance("active")["id"]
    api.span(named, schema_name="remit:run", payload={"labels": labels})
    api.span(words, schema_name="remit:run", payload={"labels": ["nightly", marker]})

    assert run_ids(api, label="session=s-1") == run_ids(api, label="retry=2") == [named]
    assert run_ids(api, label="nightly") == [words]
    assert run_ids(api, label="tenant") == run_ids(api, label="session_token") == []


@on_each_store
def test_a_fingerprint_finds_equal_failures(desk: Desk) -> None:
    """It is shown as the text by which it is found."""
    (run,) = read(desk.api, "/runs", label="team")["runs"]

    assert run_ids(desk.api, fingerprint=run["failure"]["fingerprint"]) == [desk.run]


@on_each_store
def test_times_of_runs_are_those_of_their_ids(desk: Desk) -> None:
    """The begin is part of the time, the end is not."""
    began = desk.api.shown(desk.plain)["inserted_at"]
    whole = f"{began[:23]}Z"

    assert run_ids(desk.api, since=whole) == [desk.foreign, desk.plain]
    assert run_ids(desk.api, until=whole) == [desk.run]
    assert run_ids(desk.api, since=whole, until=whole) == []
    assert run_ids(desk.api, until="1969-01-01") == []
    assert run_ids(desk.api, since="9999-01-01") == []
    assert len(run_ids(desk.api, since="0001-01-01", until="9999-12-31")) == 3


@on_each_store
def test_pages_of_runs_follow_each_other(api: Api) -> None:
    """Nothing comes twice and nothing is missing, also while runs are added."""
    made = [api.instance("pending")["id"] for _ in range(7)]
    seen: list[str] = []
    query: dict[str, Json] = {}
    while True:
        answer = read(api, "/runs", limit=2, **query)
        seen += [run["id"] for run in answer["runs"]]
        if answer["next"] is None:
            break
        assert len(answer["runs"]) == 2
        query["before"] = answer["next"]
        api.instance("pending")

    assert seen == sorted(made, reverse=True)
    assert read(api, "/runs", limit=7, before=max(made))["next"] is None


@on_each_store
def test_spans_are_listed_without_payloads(desk: Desk) -> None:
    """With the summary, and what is to be noticed."""
    answer = read(desk.api, "/spans", run_id=desk.run)
    vendor = {
        span["id"]: span
        for span in desk.api.get(
            "/agent_spans", agent_instance_id=desk.run, include_summaries="true"
        ).json()["summaries"]
    }

    assert [span["id"] for span in answer["spans"]] == sorted(vendor, reverse=True)
    for span in answer["spans"]:
        expected = vendor[span["id"]]
        assert "payload" not in span
        own = {"flags", "step_name"}
        assert {name: span.get(name) for name in span if name not in own} == {
            name: expected[name] for name in span if name not in own
        }
    flags = {span["id"]: span["flags"] for span in answer["spans"]}
    assert flags[desk.spans["denied"]] == ["denied", "failed"]
    assert flags[desk.spans["invalid"]] == ["invalid"]
    assert flags[desk.spans["good"]] == []
    (good,) = [span for span in answer["spans"] if span["id"] == desk.spans["good"]]
    assert good["summary"] == "5 counted"


@on_each_store
def test_spans_are_listed_with_payloads(desk: Desk) -> None:
    """As they were received."""
    answer = read(desk.api, "/spans", run_id=desk.run, payloads="true")

    for span in answer["spans"]:
        shown = details(desk.api.get(f"/agent_spans/{span['id']}"))
        for name in ("payload", "result_payload", "payload_byte_size_estimate"):
            assert span[name] == shown[name]


SPAN_FILTERS: dict[str, tuple[Callable[[Desk], dict[str, Json]], str]] = {
    **{
        flag: (partial(by_flag, flag), flag)
        for flag in ("denied", "violation", "redacted", "invalid", "lost")
    },
    "undeclared": (lambda _: {"flag": "undeclared"}, "root undeclared lost"),
    "failed": (lambda _: {"flag": "failed"}, "denied"),
    "status failed": (lambda _: {"status": "failed"}, "denied"),
    "status active": (lambda _: {"status": "active"}, "root"),
    "type": (lambda _: {"type": "desk:count"}, "invalid good"),
    "no such type": (lambda _: {"type": "desk:none"}, ""),
    "type and status": (lambda _: {"type": "desk:ask", "status": "complete"}, "violation redacted"),
    "type and flag": (lambda _: {"type": "desk:ask", "flag": "redacted"}, "redacted"),
    "agent": (
        lambda desk: {"agent_id": desk.api.agent_id},
        "root denied violation redacted invalid undeclared lost good",
    ),
    "other agent": (lambda desk: {"agent_id": desk.other.agent_id}, ""),
    "agent and failed": (
        lambda desk: {"agent_id": desk.api.agent_id, "status": "failed"},
        "denied",
    ),
    "other agent and denied": (
        lambda desk: {"agent_id": desk.other.agent_id, "flag": "denied"},
        "",
    ),
    "run and type": (
        lambda desk: {"run_id": desk.run, "type": "desk:ask"},
        "denied violation redacted",
    ),
    "other run": (lambda desk: {"run_id": desk.plain}, ""),
    "run of another agent": (
        lambda desk: {"run_id": desk.run, "agent_id": desk.other.agent_id},
        "",
    ),
    "nothing": (lambda _: {}, "root denied violation redacted invalid undeclared lost good"),
}  # fmt: skip


@on_each_store
def test_each_filter_of_spans_applies(desk: Desk) -> None:
    """Newest first."""
    began = {
        span["id"]: (span["started_at"], span["id"])
        for span in read(desk.api, "/spans", run_id=desk.run)["spans"]
    }
    for name, (query, expected) in SPAN_FILTERS.items():
        ids = [desk.spans[kind] for kind in expected.split()]
        ids.sort(key=began.__getitem__, reverse=True)
        assert span_ids(desk.api, **query(desk)) == ids, name


@on_each_store
def test_times_of_spans_are_those_of_their_starts(desk: Desk) -> None:
    """The begin is part of the time, the end is not."""
    began = details(desk.api.get(f"/agent_spans/{desk.spans['denied']}"))["started_at"]

    for query in ({}, {"type": "desk:ask"}, {"run_id": desk.run}, {"agent_id": desk.api.agent_id}):
        assert span_ids(desk.api, until=began, **query) == (
            [] if "type" in query else [desk.spans["root"]]
        )
        assert span_ids(desk.api, since=began, **query)[-1] == desk.spans["denied"]
    assert span_ids(desk.api, since=began, flag="denied") == [desk.spans["denied"]]
    assert span_ids(desk.api, until=began, status="failed") == []


@on_each_store
@pytest.mark.parametrize("by", ["run", "type", "flag", "nothing"])
def test_pages_of_spans_follow_each_other(desk: Desk, by: str) -> None:
    """Nothing comes twice and nothing is missing, also while spans are added."""
    query: dict[str, Json] = {
        "run": {"run_id": desk.run},
        "type": {"type": "desk:ask"},
        "flag": {"flag": "redacted"},
        "nothing": {},
    }[by]
    for _ in range(6):
        finished(desk.api, desk.run, schema_name="desk:ask", payload={"a": HELD})
    expected = span_ids(desk.api, **query)
    seen: list[str] = []
    pages = dict(query)
    while True:
        answer = read(desk.api, "/spans", limit=3, **pages)
        seen += [span["id"] for span in answer["spans"]]
        if answer["next"] is None:
            break
        pages["before"] = answer["next"]
        finished(desk.api, desk.run, schema_name="desk:ask", payload={"a": HELD})

    assert seen == expected
    assert len(seen) > 6


def test_a_page_with_payloads_is_not_too_long(store: Store) -> None:
    """It ends early, and the next one goes on."""
    api = World(store, settings=Settings(max_response_bytes=3000)).account()
    run_id = api.instance("active")["id"]
    made = [api.span(run_id, payload={"text": "x" * 1000})["id"] for _ in range(5)]

    first = read(api, "/spans", run_id=run_id, payloads="true")
    second = read(api, "/spans", run_id=run_id, payloads="true", before=first["next"])
    plain = read(api, "/spans", run_id=run_id)

    assert len(first["spans"]) == 2
    assert [span["id"] for span in first["spans"] + second["spans"]] == made[::-1][:4]
    assert len(plain["spans"]) == 5


@on_each_store
def test_spans_are_counted(desk: Desk) -> None:
    """By what is to be noticed about them, in each group."""
    by_type = {one["type"]: one for one in read(desk.api, "/counts", by="type")["counts"]}
    (agent,) = read(desk.api, "/counts", by="agent")["counts"]
    (day,) = read(desk.api, "/counts")["counts"]
    (hour,) = read(desk.api, "/counts", by="hour")["counts"]

    assert by_type["desk:ask"] == {
        "type": "desk:ask", "title": "Ask", "spans": 3, "unfinished": 0, "complete": 2,
        "failed": 1, "cancelled": 0, "denied": 1, "redacted": 1, "violation": 1, "undeclared": 0,
        "invalid": 0, "unchecked": 0, "duration_us": 0, "duration_max_us": 0,
    }  # fmt: skip
    assert by_type["desk:count"]["invalid"] == by_type["desk:new"]["undeclared"] == 1
    assert agent["agent"] == {
        "id": desk.api.agent_id,
        "name": "Desk",
        "external_identifier": None,
    }
    began = details(desk.api.get(f"/agent_spans/{desk.spans['root']}"))["started_at"]
    assert day["day"] == began[:10]
    assert hour["hour"] == f"{began[:13]}:00:00.000000Z"
    for one in (agent, day, hour):
        assert (one["spans"], one["unfinished"], one["failed"]) == (8, 1, 1)
        assert (one["denied"], one["redacted"], one["invalid"]) == (1, 1, 1)


@on_each_store
def test_spans_are_counted_by_category_and_status(desk: Desk) -> None:
    """A category counts once, whether parameters, results or both have it."""
    categories = read(desk.api, "/counts", by="category")["counts"]
    statuses = read(desk.api, "/counts", by="status")

    assert [(one["category"], one["spans"]) for one in categories] == [
        ("contact_information", 3),
        ("minors_data", 3),
    ]
    assert {one["status"]: one["spans"] for one in statuses["counts"]} == {
        "unfinished": 1,
        "complete": 6,
        "failed": 1,
    }
    assert (statuses["of"], statuses["by"]) == ("spans", "status")


@on_each_store
def test_runs_are_counted(desk: Desk) -> None:
    """By status, agent, hour and day."""
    statuses = read(desk.api, "/counts", of="runs", by="status")["counts"]
    agents = read(desk.api, "/counts", of="runs", by="agent")["counts"]
    days = read(desk.api, "/counts", of="runs", by="day")["counts"]
    hours = read(desk.api, "/counts", of="runs", by="hour")["counts"]

    assert {one["status"]: one["runs"] for one in statuses} == {
        "active": 1,
        "complete": 1,
        "failed": 1,
    }
    assert {one["agent"]["id"]: one["runs"] for one in agents} == {
        desk.api.agent_id: 2,
        desk.other.agent_id: 1,
    }
    assert [one["runs"] for one in days] == [2, 1]
    assert [one["runs"] for one in hours] == [1, 1, 1]
    assert [one["day"] for one in days] == sorted(one["day"] for one in days)


@on_each_store
def test_counts_can_be_narrowed(desk: Desk) -> None:
    """To an agent, a purpose, a time."""
    began = desk.api.shown(desk.run)["started_at"]
    later = desk.api.shown(desk.plain)["started_at"]

    def spans(**query: Json) -> int:
        counts = read(desk.api, "/counts", by="status", **query)["counts"]
        return sum(one["spans"] for one in counts)

    assert spans(agent_id=desk.api.agent_id) == spans(purpose="eval") == spans(since=began) == 8
    assert spans(agent_id=desk.other.agent_id) == spans(purpose="live") == 0
    assert spans(until=later) == 8
    assert spans(until=began[:13] + ":00:00Z") == 0
    assert spans(since=later) == 0


@on_each_store
def test_redacted_values_are_counted(desk: Desk) -> None:
    """Each value, not each span."""
    began = details(desk.api.get(f"/agent_spans/{desk.spans['root']}"))["started_at"]

    assert read(desk.api, "/redacted")["redacted"] == [{"rule": "type:Sensitive", "times": 2}]
    assert read(desk.api, "/redacted", by="type")["redacted"] == [
        {"type": "desk:ask", "title": "Ask", "times": 2}
    ]
    assert read(desk.api, "/redacted", by="day", agent_id=desk.api.agent_id) == {
        "status": "success",
        "by": "day",
        "redacted": [{"day": began[:10], "times": 2}],
    }
    assert read(desk.api, "/redacted", agent_id=desk.other.agent_id)["redacted"] == []
    assert read(desk.api, "/redacted", until=began[:10])["redacted"] == []


@on_each_store
def test_changes_are_followed(desk: Desk) -> None:
    """A run is there again when one of its spans is written."""
    everything = read(desk.api, "/changes", after="0-0")
    assert [run["id"] for run in everything["runs"]] == [desk.run, desk.plain, desk.foreign]
    cursor = read(desk.api, "/changes")["cursor"]
    assert cursor == everything["cursor"]
    assert read(desk.api, "/changes", after=cursor) == {
        "status": "success",
        "runs": [],
        "cursor": cursor,
    }

    desk.api.span(desk.plain, schema_name="desk:plain")
    (changed,) = (answer := read(desk.api, "/changes", after=cursor))["runs"]

    assert changed["id"] == desk.plain
    assert changed["span_counts"]["active"] == 1
    assert read(desk.api, "/changes", after=answer["cursor"])["runs"] == []
    assert read(desk.api, "/changes", after=cursor, run_id=desk.run)["runs"] == []
    assert read(desk.api, "/changes", after=cursor, run_id=desk.plain)["runs"] == [changed]


@on_each_store
def test_changes_come_in_pages(api: Api) -> None:
    """Nothing comes twice and nothing is missing."""
    made = [api.instance("active")["id"] for _ in range(5)]
    seen: list[str] = []
    cursor = "0-0"
    while (answer := read(api, "/changes", after=cursor, limit=2))["runs"]:
        seen += [run["id"] for run in answer["runs"]]
        cursor = answer["cursor"]

    assert seen == made
    assert answer["cursor"] == cursor


@on_each_store
def test_one_span_is_shown(desk: Desk) -> None:
    """As it is listed with its summary."""
    listed = desk.api.get(
        "/agent_spans", agent_instance_id=desk.run, include_summaries="true"
    ).json()["summaries"]

    for span in listed:
        assert details(desk.api.get(f"/agent_spans/{span['id']}")) == span
    outputs = desk.api.bulk({"_type": "agent_spans/show", "agent_span_id": listed[0]["id"]})
    assert [output["details"] for output in outputs.values()] == [listed[0]]
    assert refusal(desk.api.get(f"/agent_spans/{NOBODY}"), 404)["code"] == "not_found"
    assert refusal(desk.api.get("/agent_spans/create_test_spans"), 404)["code"] == "not_found"


@on_each_store
def test_another_account_sees_nothing(world: World, desk: Desk) -> None:
    """Its lists are empty, and what it names does not exist."""
    stranger = world.foreign()

    assert read(stranger, "/runs", total="true") == {
        "status": "success", "runs": [], "next": None, "total": 0,
    }  # fmt: skip
    assert run_ids(stranger, key="key-1") == run_ids(stranger, label="team=blue") == []
    assert run_ids(stranger, subject_hash=ANN) == []
    assert run_ids(stranger, flag="denied") == []
    for query in ({}, {"type": "desk:ask"}, {"flag": "denied"}, {"status": "failed"}):
        assert span_ids(stranger, **query) == []
    assert read(stranger, "/counts")["counts"] == []
    assert read(stranger, "/counts", of="runs")["counts"] == []
    assert read(stranger, "/redacted")["redacted"] == []
    assert read(stranger, "/changes", after="0-0")["runs"] == []
    for path in ("/runs", "/spans", "/counts", "/redacted"):
        refused(stranger, path, 404, agent_id=desk.api.agent_id)
        environment = desk.api.shown(desk.run)["environment_id"]
        refused(stranger, path, 404, environment_id=environment)
    refused(stranger, "/spans", 404, run_id=desk.run)
    refused(stranger, "/changes", 404, run_id=desk.run)
    refusal(stranger.get(f"/agent_spans/{desk.spans['good']}"), 404)


@on_each_store
def test_a_deployment_sees_its_agent_and_environment_only(world: World, desk: Desk) -> None:
    """To name another one is rejected, and a run of another one does not exist."""
    environment = desk.api.shown(desk.run)["environment_id"]
    elsewhere = details(desk.api.post("/environment", {"details": {"name": "staging"}}))["id"]
    there = desk.api.instance("active", environment_id=elsewhere)["id"]
    desk.api.span(there)
    token, _ = world.deployed(desk.api, environment)
    other, _ = world.deployed(desk.other, environment)

    assert run_ids(token) == [desk.plain, desk.run]
    assert run_ids(token, environment_id=environment) == [desk.plain, desk.run]
    assert run_ids(desk.api, environment_id=elsewhere) == [there]
    assert set(span_ids(token)) == set(desk.spans.values())
    assert span_ids(token, type="desk:answer") == []
    assert len(span_ids(desk.api, type="desk:answer")) == 1
    assert span_ids(other) == span_ids(other, flag="denied") == []
    assert run_ids(other, key="key-1") == run_ids(other, label="team") == []
    assert read(token, "/changes", after="0-0", limit=100)["runs"][0]["id"] == desk.run
    assert [run["id"] for run in read(other, "/changes", after="0-0")["runs"]] == [desk.foreign]
    assert sum(one["spans"] for one in read(token, "/counts")["counts"]) == 8
    assert read(other, "/counts")["counts"] == read(other, "/redacted")["redacted"] == []
    for path in ("/runs", "/spans", "/counts", "/redacted"):
        refused(token, path, 403, agent_id=desk.other.agent_id)
        refused(token, path, 403, environment_id=elsewhere)
        refused(token, path, 404, environment_id=NOBODY)
        refused(token, path, 404, agent_id=NOBODY)
    refused(token, "/spans", 404, run_id=there)
    refused(other, "/spans", 404, run_id=desk.run)
    refused(other, "/changes", 404, run_id=desk.run)
    refusal(other.get(f"/agent_spans/{desk.spans['good']}"), 404)


@each(
    ("path", "query", "message"),
    [
        ("/runs", {"status": "done"}, "must be one of pending, active, complete, failed"),
        ("/runs", {"purpose": "fun"}, "must be one of live, smoke_test, eval"),
        ("/runs", {"flag": "odd"}, "must be one of denied, violation, redacted"),
        ("/runs", {"since": "soon"}, "must be a time in ISO 8601"),
        ("/runs", {"until": "2026-13-01"}, "must be a time in ISO 8601"),
        ("/runs", {"limit": "0"}, "must be an integer from 1 to 100"),
        ("/runs", {"limit": "101"}, "must be an integer from 1 to 100"),
        ("/runs", {"before": "x"}, "must be the `next` of a page"),
        ("/runs", {"total": "perhaps"}, "must be true or false"),
        ("/runs", {"label": "=blue"}, "must be KEY or KEY=VALUE"),
        ("/runs", {"label": "a\0"}, "none of them a NUL"),
        ("/runs", {"fingerprint": "12"}, "must be 16 hexadecimal digits"),
        ("/spans", {"status": "terminated"}, "must be one of active, cancelled, complete"),
        ("/spans", {"limit": "1001"}, "must be an integer from 1 to 1000"),
        ("/spans", {"before": "x"}, "with the same filters"),
        ("/spans", {"before": f"5-{NOBODY}"}, "with the same filters"),
        ("/spans", {"before": NOBODY, "flag": "denied"}, "with the same filters"),
        ("/runs", {"mood": "good"}, "is not a parameter of this endpoint: it has agent_id, before"),
        ("/counts", {"by": "mood"}, "must be one of hour, day, type, category, agent, status"),
        ("/counts", {"of": "agents"}, "must be one of spans, runs"),
        ("/counts", {"of": "runs", "by": "type"}, "must be one of hour, day, agent, status"),
        ("/redacted", {"by": "hour"}, "must be one of rule, type, day"),
        ("/changes", {"after": "now"}, "must be the `cursor` of a response"),
        ("/changes", {"after": f"{10**18}-1"}, "must be the `cursor` of a response"),
    ],
)
def test_a_wrong_filter_says_what_is_valid(
    api: Api, path: str, query: dict[str, Json], message: str
) -> None:
    """It is named, and nothing is guessed."""
    answer = refused(api, path, 422, **query)

    assert answer["code"] == "validation_errors"
    (name,) = answer["errors"].keys() & query.keys()
    assert message in answer["errors"][name][0]


@on_each_store
def test_a_value_that_is_not_in_a_repr_is_no_mark(api: Api) -> None:
    """The mark means a secret; what the class of an object leaves out is counted by its rule."""
    hidden = {"$remit": "redacted", "rule": "hidden:repr"}
    plain, secret = (api.instance()["id"] for _ in range(2))
    api.span(plain, payload={"message": hidden}, status="complete")
    api.span(secret, payload={"message": hidden, "key": HELD}, status="complete")

    assert run_ids(api, flag="redacted") == [secret]
    assert [
        span["agent_instance_id"] for span in read(api, "/spans", flag="redacted")["spans"]
    ] == [secret]
    rules = {row["rule"]: row["times"] for row in read(api, "/redacted")["redacted"]}
    assert rules == {"hidden:repr": 2, "type:Sensitive": 1}
    risk = details(api.get(f"/agent_instance/{plain}/risk"))
    assert risk["redacted"] == {"hidden:repr": 1}
