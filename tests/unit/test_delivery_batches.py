"""Bulk items as bytes: the models of the wire read them, ids and times are right."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from remit._clock import iso8601
from remit._delivery.batches import (
    MAX_HEADS,
    MAX_WORDS,
    Batch,
    BatchLimits,
    Composer,
    Texts,
    with_tails,
)
from remit._delivery.tracks import Track, partition_text
from remit._guard import faults
from remit._ids import LANES, RANDOM_BITS, TIME_CHARS, key_text, new_key, partition_of, pfid
from remit._sink import Item, Kind
from remit._spool import Registration, Row, RunRecord, RunState
from remit.models.agent_span import CreateAgentSpanRequest, FinishAgentSpanRequest
from remit.models.bulk import BulkRequest

INSTANCE = pfid(new_key(1_790_000_000_000_000_000), 123_456_789)
STARTED_NS = 1_790_000_000_123_456_789
FINISHED_NS = 1_790_000_001_000_001_999


def track(instance_id: str = INSTANCE) -> Track:
    """Return a run that the server knows."""
    registration = Registration("m:a", "A", None, None, None, b"{}", b"{}")
    made = Track(RunRecord("run", 1, 2, "live", registration), None)
    made.identify(instance_id)
    return made


def span(kind: Kind = Kind.SPAN, *, status: str = "complete", ended: bool = True) -> Item:
    """Return a span with everything."""
    key, parent = new_key(STARTED_NS), new_key(STARTED_NS)
    finished_ns, result = (FINISHED_NS, b'{"found":true}') if ended else (None, None)
    return Item(
        kind, "run", key, parent, 'm:"f"', STARTED_NS, finished_ns, status, b'{"a":[1]}', result
    )


def test_a_create_is_what_the_models_of_the_wire_read() -> None:
    """Key, ids in the instance's partition, times, payloads."""
    item = span()
    key, body = Composer().compose(item, track()) or ("", b"")
    request = BulkRequest.model_validate_json(b'{"items":[' + body + b"]}")
    sent = json.loads(body)
    assert request.items[0].type == sent["_type"] == "agent_spans/create"
    assert key == sent["idempotency_key"] == f"c-{key_text(item.key)}"
    details = CreateAgentSpanRequest.model_validate(sent["details"])
    assert details.id == pfid(item.key, 123_456_789)
    assert details.parent_span_id == pfid(item.parent or 0, 123_456_789)
    assert details.agent_instance_id == INSTANCE
    assert sent["details"] == {
        "agent_instance_id": INSTANCE,
        "id": details.id,
        "schema_name": 'm:"f"',
        "status": "complete",
        "payload": {"a": [1]},
        "parent_span_id": details.parent_span_id,
        "started_at": iso8601(STARTED_NS),
        "result_payload": {"found": True},
        "finished_at": iso8601(FINISHED_NS),
    }


def test_a_beginning_has_neither_result_nor_end() -> None:
    """`result_payload` goes with a terminal status only (CONTRACT.md section 8)."""
    root = span(status="active", ended=False)._replace(parent=None, payload=None)
    _, body = Composer().compose(root, track()) or ("", b"")
    details = json.loads(body)["details"]
    assert "result_payload" not in details
    assert "finished_at" not in details
    assert details["parent_span_id"] is None
    assert details["payload"] == {}


def test_a_finish_is_what_the_models_of_the_wire_read() -> None:
    """Flat, with the span's id beside the key."""
    item = span(Kind.FINISH, status="failed")
    key, body = Composer().compose(item, track()) or ("", b"")
    sent = json.loads(body)
    BulkRequest.model_validate({"items": [sent]})
    assert sent == {
        "_type": "agent_spans/finish",
        "idempotency_key": f"f-{key_text(item.key)}",
        "agent_span_id": pfid(item.key, 123_456_789),
        "status": "failed",
        "result_payload": {"found": True},
        "timestamp": iso8601(FINISHED_NS),
    }
    assert key == sent["idempotency_key"]
    known = FinishAgentSpanRequest.model_fields
    FinishAgentSpanRequest.model_validate({k: v for k, v in sent.items() if k in known})


def test_a_server_whose_ids_are_no_pfids_gets_the_same_ids_each_time() -> None:
    """A later process that sends the rest of a run must name the same spans."""
    assert partition_text("not-a-pfid") == partition_text("not-a-pfid")
    assert partition_text("not-a-pfid") != partition_text("another")
    item = span()
    _, body = Composer().compose(item, track("not-a-pfid")) or ("", b"")
    assert partition_of(json.loads(body)["details"]["id"]) is not None


def test_a_fault_of_ours_in_one_item_is_contained() -> None:
    """The item is lost, not the batch."""
    before = faults.counts["composing an item"]
    broken = span()._replace(started_ns=1 << 80)
    assert Composer().compose(broken, track()) is None
    assert faults.counts["composing an item"] == before + 1


@pytest.mark.parametrize(
    "wall_ns",
    [0, 999, 1_000, 999_999_999, STARTED_NS, FINISHED_NS, 4_102_444_799_999_999_999],
    ids=str,
)
def test_times_are_written_as_the_clock_writes_them(wall_ns: int) -> None:
    """Remembering the second changes nothing."""
    texts = Texts()
    texts.time(STARTED_NS)
    assert texts.time(wall_ns).decode() == iso8601(wall_ns)


def test_keys_are_written_as_the_ids_write_them() -> None:
    """Also when the head of the text is remembered, and when what is remembered is forgotten."""
    texts = Texts()
    for time_ms in range(MAX_HEADS + 2):
        key = (time_ms << RANDOM_BITS) | 0xABCDEF
        assert texts.head(key).text == texts.head(key).text == key_text(key)[:TIME_CHARS]


def test_rows_of_any_number_come_with_the_texts_of_their_keys() -> None:
    """They are written for many at once, and for the rest."""
    rows: list[Row] = [(number, span()) for number in range(2 * LANES + 3)]
    found = list(with_tails(rows))
    assert [row for row, _ in found] == rows
    assert [tail for _, tail in found] == [key_text(item[2])[TIME_CHARS:] for _, item in rows]


WORDS = st.sampled_from(["m:f", 'm:"f"', "m:f\\g", "m:f\n", "m:\u00e9\u2028\U0001f600", ""])
BODIES = st.sampled_from([b"{}", b'{"a":[1]}', '{"b":"\u00e9"}'.encode(), b'{"c":"\\u0000"}'])


@given(
    name=WORDS,
    status=st.sampled_from(["complete", "failed", "active", "cancelled"]),
    payload=st.none() | BODIES,
    result=st.none() | BODIES,
    finished_ns=st.none() | st.integers(0, 4_102_444_799_999_999_999),
    kind=st.sampled_from([Kind.SPAN, Kind.FINISH]),
    root=st.booleans(),
)
def test_what_is_put_together_is_what_an_encoder_writes(
    *,
    name: str,
    status: str,
    payload: bytes | None,
    result: bytes | None,
    finished_ns: int | None,
    kind: Kind,
    root: bool,
) -> None:
    """Whatever is there of a span, and whatever its words need to be quoted."""
    run, item = track('odd"id'), span(kind)
    item = item._replace(
        name=name, status=status, payload=payload, result=result, finished_ns=finished_ns
    )
    if root:
        item = item._replace(key=run.record.root, parent=None)
    key, body = Composer().compose(item, run) or ("", b"")
    expected = create(item, run) if kind is Kind.SPAN else finish(item, run)
    assert key == expected["idempotency_key"]
    assert body == msgspec.json.encode(expected)


def create(item: Item, run: Track) -> dict[str, Any]:
    """Return what is sent of a span, its fields in order."""
    key = run.root_key if item.key == run.record.root else item.key
    details: dict[str, Any] = {
        "agent_instance_id": run.record.instance_id,
        "id": identifier(key, run),
        "schema_name": item.name,
        "status": item.status,
        "payload": Raw(item.payload or b"{}"),
        "parent_span_id": None if item.parent is None else identifier(item.parent, run),
        "started_at": iso8601(item.started_ns or 0),
        **ended(item, "finished_at"),
    }
    return {
        "idempotency_key": f"c-{key_text(key)}",
        "details": details,
        "_type": "agent_spans/create",
    }


def finish(item: Item, run: Track) -> dict[str, Any]:
    """Return what is sent of the end of a span, its fields in order."""
    key = run.root_key if item.key == run.record.root else item.key
    return {
        "idempotency_key": f"f-{key_text(key)}",
        "agent_span_id": identifier(key, run),
        "status": item.status,
        **ended(item, "timestamp"),
        "_type": "agent_spans/finish",
    }


def ended(item: Item, called: str) -> dict[str, Any]:
    """Return what only a span has that has ended."""
    told: dict[str, Any] = {} if item.result is None else {"result_payload": Raw(item.result)}
    return told if item.finished_ns is None else {**told, called: iso8601(item.finished_ns)}


def identifier(key: int, run: Track) -> str:
    """Return the id of a span at the server."""
    text = key_text(key)
    return f"{text[:TIME_CHARS]}{run.partition}{text[TIME_CHARS:]}"


LIMITS = BatchLimits(500, 1 << 20)


def started(instance_id: str = INSTANCE) -> Track:
    """Return a run whose items can be sent."""
    run = track(instance_id)
    run.record.state = RunState.STARTED
    return run


def numbered(*items: Item) -> list[Row]:
    """Return rows of these items."""
    return list(enumerate(items))


def extended(batch: Batch, rows: list[Row], limits: BatchLimits, *runs: Track) -> int | None:
    """Add *rows* of *runs*, which are called by number and have lost nothing."""
    named = {str(number): run for number, run in enumerate(runs)}
    return Composer().extend(batch, rows, limits, named.get, lambda _: False)


def test_many_are_written_as_each_is_alone() -> None:
    """Also of runs in turn."""
    runs = started(), started(pfid(new_key(STARTED_NS), 7))
    rows = numbered(*(span()._replace(run_key=key) for key in "00110"))
    batch, alone = Batch(), Composer()
    assert extended(batch, rows, LIMITS, *runs) == len(rows)
    written = [alone.compose(item, runs[int(item[1])]) for _, item in rows]
    assert list(zip(batch.rows, batch.bodies, strict=True)) == written
    assert list(batch.rows.values()) == rows
    assert batch.size_bytes == sum(len(body) + 1 for body in batch.bodies)
    assert batch.tracks == {"0": runs[0], "1": runs[1]}


def test_a_run_that_ends_is_noted() -> None:
    """Its root span is the one that says so."""
    run = started()
    root = span(Kind.FINISH)._replace(run_key="0", key=run.record.root, parent=None)
    batch = Batch()
    assert (
        extended(batch, numbered(span(Kind.FINISH)._replace(run_key="0"), root), LIMITS, run) == 2
    )
    assert batch.roots == [run]


def test_what_needs_a_closer_look_ends_it() -> None:
    """A run that is not known or not ready, one that lost something, a key that is there."""
    run, late = started(), track()
    one, other = span()._replace(run_key="0"), span()._replace(run_key="0")
    for odd in (one._replace(run_key="9"), one._replace(run_key="1"), one):
        batch = Batch()
        assert extended(batch, numbered(one, odd, other), LIMITS, run, late) == 1
        assert extended(batch, numbered(one), LIMITS, run) == 0
        assert len(batch.rows) == len(batch.bodies) == 1
        assert batch.size_bytes == len(batch.bodies[0]) + 1
    root = span(Kind.FINISH)._replace(run_key="0", key=run.record.root, parent=None)
    assert Composer().extend(Batch(), numbered(root), LIMITS, lambda _: run, lambda _: True) == 0


def test_many_are_as_many_as_fit() -> None:
    """In bytes and in number, with what is there already."""
    run = started()
    rows = numbered(*(span()._replace(run_key="0") for _ in range(10)))
    _, body = Composer().compose(rows[0][1], run) or ("", b"")
    each = len(body) + 1
    batch = Batch()
    assert extended(batch, rows, BatchLimits(500, 3 * each), run) == 3
    assert extended(batch, rows[3:], BatchLimits(500, 5 * each), run) == 2
    assert extended(batch, rows[5:], BatchLimits(6, 1 << 20), run) == 1
    assert extended(batch, rows[6:], BatchLimits(6, 1 << 20), run) == 0
    assert list(batch.rows.values()) == rows[:6]
    assert batch.size_bytes == 6 * each


def test_a_fault_of_ours_leaves_the_batch_as_it_is() -> None:
    """What was composed before it is composed once more."""
    rows = numbered(span()._replace(run_key="0"), span()._replace(run_key="0", started_ns=1 << 80))
    batch = Batch()
    assert extended(batch, rows, LIMITS, started()) is None
    assert batch == Batch()


def test_runs_in_turn_get_their_own_instances() -> None:
    """What is remembered of the one is not written of the other."""
    composer, one, other = Composer(), track(), track(pfid(new_key(STARTED_NS), 7))
    for run in (one, other, one):
        _, body = composer.compose(span(), run) or ("", b"")
        assert json.loads(body)["details"]["agent_instance_id"] == run.record.instance_id


def test_what_is_remembered_of_parents_is_bounded() -> None:
    """However many runs there are, also in one batch, whose spans have parents of their own."""
    composer, long, taken = Composer(max_parents=300), started(), list[int]()
    tracemalloc.start()
    try:
        for number in range(5):
            items = [span() for _ in range(310)]
            items[-2] = items[-2]._replace(run_key="short")
            runs = {"run": long, "short": started(pfid(new_key(STARTED_NS), number))}
            rows: list[Row] = list(enumerate(items))
            assert composer.extend(Batch(), rows, LIMITS, runs.get, lambda _: False) == len(rows)
            del items, rows
            taken.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert taken[-1] < 1.5 * taken[0]


def test_words_that_are_remembered_are_bounded() -> None:
    """A program that names a million spans differently takes no more memory."""
    composer, run, item, taken = Composer(), track(), span(), list[int]()
    tracemalloc.start()
    try:
        for number in range(3 * MAX_WORDS):
            composer.compose(item._replace(name=f"n{number}"), run)
            if number % MAX_WORDS == MAX_WORDS - 2:
                taken.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert taken[-1] < 1.5 * taken[0]


def test_a_run_that_gets_another_id_forgets_the_ids_of_its_parents() -> None:
    """They hold the partition of the old one."""
    composer, run, item = Composer(), track(), span()
    composer.compose(item, run)
    run.identify(pfid(new_key(STARTED_NS), 7))
    _, body = composer.compose(item, run) or ("", b"")
    assert json.loads(body)["details"]["parent_span_id"] == pfid(item.parent or 0, 7)
