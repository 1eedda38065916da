"""Bulk items as bytes: the models of the wire read them, ids and times are right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from remit._base.clock import iso8601
from remit._base.ids import new_key, partition_of, pfid
from remit._deliver.batches import PARENTS
from remit._record.items import Item, ItemKind
from remit.models.agent_span import CreateAgentSpanRequest, FinishAgentSpanRequest
from remit.models.bulk import BulkRequest
from tests.delivering import Stepped
from tests.fake_api import FakeApi, Json
from tests.recording import HandRun

STARTED_NS = 1_790_000_000_123_456_789
FINISHED_NS = 1_790_000_001_000_001_999


def sent(api: FakeApi) -> list[Json]:
    """Return the bulk items that were sent."""
    return [item for items in api.bulks() for item in items]


def of_span(stepped: Stepped, run: HandRun, item: Item) -> Json:
    """Record an item of a run; return what is sent of it."""
    before = len(sent(stepped.api))
    run.sink.put(replace(item, run_key=run.key))
    stepped.deliver()
    (one,) = sent(stepped.api)[before:]
    return one


def span(kind: int = ItemKind.SPAN, *, status: str = "complete") -> Item:
    """Return a span with everything."""
    key, parent = new_key(STARTED_NS), new_key(STARTED_NS)
    return Item(
        kind, "", key, parent, 'm:"f"', STARTED_NS, FINISHED_NS, status, b'{"a":[1]}',
        b'{"found":true}',
    )  # fmt: skip


@pytest.fixture
def stepped() -> Stepped:
    """Return delivery without threads."""
    return Stepped(FakeApi())


@pytest.fixture
def run(stepped: Stepped) -> HandRun:
    """Return a run that the server knows."""
    run = stepped.record()
    stepped.deliver()
    return run


def test_a_create_is_what_the_models_of_the_wire_read(stepped: Stepped, run: HandRun) -> None:
    """Its key, the ids in the instance's partition, the times, the payloads."""
    item = span()
    one = of_span(stepped, run, item)
    request = BulkRequest.model_validate({"items": [one]})
    assert request.items[0].type == one["_type"] == "agent_spans/create"
    details = CreateAgentSpanRequest.model_validate(one["details"])
    assert details.id == pfid(item.key, stepped.api.partition)
    assert details.agent_instance_id == run.feed.instance_id
    assert one["details"] == expected(item, run, stepped.api)


def test_a_finish_is_what_the_models_of_the_wire_read(stepped: Stepped, run: HandRun) -> None:
    """It is flat, with the span's id beside the key; the beginning has neither result nor end."""
    start = run.start()
    stepped.deliver(announce=True)
    began = sent(stepped.api)[-1]["details"]
    assert began["status"] == "active"
    assert not {"result_payload", "finished_at"} & set(began)
    run.end(start, "failed")
    stepped.deliver()
    one = sent(stepped.api)[-1]
    BulkRequest.model_validate({"items": [one]})
    known = FinishAgentSpanRequest.model_fields
    FinishAgentSpanRequest.model_validate({k: v for k, v in one.items() if k in known})
    assert one == {
        "_type": "agent_spans/finish",
        "idempotency_key": one["idempotency_key"],
        "agent_span_id": pfid(start.key, stepped.api.partition),
        "status": "failed",
        "result_payload": {"result": 2},
        "timestamp": iso8601((start.started_ns or 0) + 1_500_000),
    }
    assert one["idempotency_key"].startswith("f-")


WORDS = st.sampled_from(["m:f", 'm:"f"', "m:f\\g", "m:f\n", "m:\u00e9\u2028\U0001f600", ""])
BODIES = st.sampled_from([b"{}", b'{"a":[1]}', '{"b":"\u00e9"}'.encode(), b'{"c":"\\u0000"}'])
TIMES = st.sampled_from([0, 999, 1_000, 999_999_999, STARTED_NS, FINISHED_NS]) | st.integers(
    0, 4_102_444_799_999_999_999
)


@given(
    name=WORDS,
    status=st.sampled_from(["complete", "failed", "cancelled"]),
    payload=st.none() | BODIES,
    result=st.none() | BODIES,
    started_ns=TIMES,
    finished_ns=st.none() | TIMES,
    parent=st.booleans(),
)
def test_whatever_is_there_of_a_span_is_sent(
    *,
    name: str,
    status: str,
    payload: bytes | None,
    result: bytes | None,
    started_ns: int,
    finished_ns: int | None,
    parent: bool,
) -> None:
    """Each value stands where it belongs, whatever of it needs to be quoted."""
    stepped = Stepped(FakeApi())
    run = stepped.record()
    stepped.deliver()
    item = replace(span(),
        name=name, status=status, payload=payload, result=result, started_ns=started_ns,
        finished_ns=finished_ns,
    )  # fmt: skip
    if not parent:
        item = replace(item, parent=None)
    for _ in range(2):  # of the second much is remembered
        item = replace(item, key=new_key(started_ns))
        one = of_span(stepped, run, item)
        assert one["details"] == expected(item, run, stepped.api)
        assert list(one) == ["idempotency_key", "details", "_type"]


def expected(item: Item, run: HandRun, api: FakeApi) -> dict[str, Any]:
    """Return what is to be sent of a span."""
    details: dict[str, Any] = {
        "agent_instance_id": run.feed.instance_id,
        "id": pfid(item.key, api.partition),
        "schema_name": item.name,
        "status": item.status,
        "payload": json.loads(item.payload or b"{}"),
        "parent_span_id": None if item.parent is None else pfid(item.parent, api.partition),
        "started_at": iso8601(item.started_ns or 0),
    }
    if item.result is not None:
        details["result_payload"] = json.loads(item.result)
    if item.finished_ns is not None:
        details["finished_at"] = iso8601(item.finished_ns)
    return details


def test_spans_of_runs_in_turn_get_their_own_instances(stepped: Stepped) -> None:
    """What is remembered of one run is not written of the other."""
    runs = [stepped.record(), stepped.record()]
    for number in (0, 1, 0, 0, 1):
        runs[number].span(f"of {number}")
    stepped.deliver()
    for number, run in enumerate(runs):
        theirs = [item["details"] for item in sent(stepped.api)]
        theirs = [each for each in theirs if each["schema_name"] == f"of {number}"]
        assert {each["agent_instance_id"] for each in theirs} == {run.feed.instance_id}


def test_spans_with_many_parents_name_their_own(stepped: Stepped, run: HandRun) -> None:
    """Also when the text of a parent is no longer remembered."""
    parents = [new_key(STARTED_NS + number) for number in range(PARENTS + 9)]
    for parent in parents * 2:
        item = replace(span(), run_key=run.key, key=new_key(STARTED_NS), parent=parent)
        run.sink.put(item)
    stepped.deliver()
    named = [item["details"]["parent_span_id"] for item in sent(stepped.api)][-2 * len(parents) :]
    assert named == [pfid(parent, stepped.api.partition) for parent in parents * 2]


def test_a_server_whose_ids_are_no_pfids_gets_the_same_ids_each_time() -> None:
    """A later process that sends the rest of a run must name the same spans."""
    ids: list[str] = []
    item = span()
    for _ in range(2):
        api = FakeApi(instances={"not-a-pfid": {"id": "not-a-pfid", "status": "active"}})
        stepped = Stepped(api)
        run = HandRun(stepped.sink, resume="not-a-pfid").open()
        ids.append(of_span(stepped, run, item)["details"]["id"])
    assert ids[0] == ids[1]
    assert partition_of(ids[0]) is not None
