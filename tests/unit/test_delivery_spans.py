"""Spans in bulk: batches, and every reaction to a refused item; nothing lost or doubled."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from remit._base.ids import pfid
from remit._deliver.reactions import MAX_TRIES
from remit._deliver.status import Health
from tests.delivering import Stepped
from tests.fake_api import Answer, FakeApi, Json, error, finishes, named
from tests.inside import httpx


def test_spans_of_all_runs_go_into_one_request() -> None:
    """One request for what happened in an interval, whatever it belongs to."""
    api = FakeApi()
    stepped = Stepped(api)
    runs = [stepped.record("a", "b") for _ in range(3)]
    stepped.deliver()
    (items,) = api.bulks()
    assert len(items) == 9
    owners = Counter(item["details"]["agent_instance_id"] for item in items)
    assert owners == {run.feed.instance_id: 3 for run in runs}


def test_a_batch_has_at_most_so_many_items() -> None:
    """`max_batch_items`."""
    api = FakeApi()
    stepped = Stepped(api, max_batch_items=4)
    stepped.record(*"abcdefgh")
    stepped.deliver()
    assert [len(items) for items in api.bulks()] == [4, 4, 1]
    assert api.names() == list("abcdefgh")


def test_a_batch_has_at_most_so_many_bytes() -> None:
    """`max_batch_bytes`; an item that is larger alone goes alone."""
    api = FakeApi()
    stepped = Stepped(api, max_batch_bytes=2000)
    run = stepped.record("a", "b", "c")
    run.span("large", json.dumps({"text": "x" * 5000}).encode())
    run.span("d")
    stepped.deliver()
    sizes = [seen.size_bytes for seen in api.seen if seen.path.endswith("/bulk")]
    assert sum(size > 2000 + len('{"items":[]}') for size in sizes) == 1
    assert api.names() == ["a", "b", "c", "large", "d"]


def test_the_window_bounds_what_is_looked_at_in_one_step() -> None:
    """A backlog of a million rows is not read at once."""
    api = FakeApi()
    stepped = Stepped(api, max_batch_items=2)
    stepped.record(*"abcdefgh")
    stepped.move()
    stepped.send()
    assert stepped.status.pending == 2
    stepped.deliver()
    assert api.names() == list("abcdefgh")


def test_one_key_stands_in_a_request_once() -> None:
    """The server refuses a request in which one stands twice."""
    api = FakeApi()
    stepped = Stepped(api)
    run = stepped.record()
    start = run.start()
    stepped.deliver(announce=True)
    run.end(start)
    run.end(start, status="failed")
    stepped.deliver()
    assert [len(set(keys)) == len(keys) for keys in api.bulk_keys()] == [True] * 3
    assert api.spans[list(api.spans)[-1]]["status"] == "complete"
    assert stepped.status.set_aside == {}


@pytest.mark.parametrize("code", ["bad_request", "validation_errors"])
def test_a_refused_item_is_set_aside_and_the_rest_go_on(code: str) -> None:
    """The server stops at it; what it did not look at is sent again with the same keys."""
    api = FakeApi()
    api.refuse_item(named("c"), error(code, errors={"payload": ["no"]}))
    stepped = Stepped(api)
    stepped.record(*"abcde")
    stepped.deliver()
    assert api.names() == list("abde")
    assert stepped.status.set_aside == {code: 1}
    first, second = api.bulk_keys()
    assert second == first[4:]
    assert stepped.status.sent == 6


def test_three_refused_items_of_ten_are_told_as_seven_and_three() -> None:
    """The counts are per item."""
    api = FakeApi()
    for name in "cfi":
        api.refuse_item(named(name), error("bad_request"))
    stepped = Stepped(api)
    stepped.record(*"abcdefghij")
    stepped.deliver()
    assert api.names() == list("abdeghj")
    assert stepped.status.sent == 7 + 2
    assert stepped.status.set_aside == {"bad_request": 3}


def test_the_end_of_an_ended_span_is_done() -> None:
    """An answer was lost and the finish sent again: `invalid_action`."""
    api = FakeApi()
    stepped = Stepped(api)
    run = stepped.record()
    start = run.start()
    stepped.deliver(announce=True)
    api.refuse_item(finishes, error("invalid_action"))
    run.end(start)
    run.span("after")
    stepped.deliver()
    assert stepped.status.pending == 0
    assert stepped.status.set_aside == {}
    assert "after" in api.names()


def test_a_span_that_the_server_lost_is_sent_whole_when_it_ends() -> None:
    """`not_found` on a finish: one create, with the terminal status."""
    api = FakeApi()
    stepped = Stepped(api)
    run = stepped.record()
    start = run.start("long", b'{"question":1}')
    stepped.deliver(announce=True)
    api.spans.clear()
    run.end(start, "failed")
    stepped.deliver()
    (span,) = api.spans.values()
    assert span["status"] == "failed"
    assert span["payload"] == {"question": 1}
    assert span["result_payload"] == {"result": 2}
    assert span["id"] == pfid(start.key, api.partition)
    assert stepped.status.pending == 0


def test_an_instance_that_the_server_forgot_is_registered_once_more() -> None:
    """`not_found` on a create holds the item, registers with the same key, sends it again."""
    api = FakeApi()
    stepped = Stepped(api)
    run = stepped.record()
    stepped.deliver()
    api.instances.clear()
    api.spans.clear()
    for name in "abc":
        run.span(name)
    stepped.deliver()
    assert api.names() == list("abc")
    registrations = [seen.body for seen in api.seen if "register" in seen.path]
    assert len(registrations) == 2
    assert registrations[0] == registrations[1]
    assert stepped.status.pending == 0


def test_an_instance_that_gets_another_id_takes_its_spans_along() -> None:
    """They are written anew for the new instance, in its partition."""
    api = FakeApi()
    stepped = Stepped(api)
    run = stepped.record("a")
    stepped.deliver()
    old = run.feed.instance_id
    api.lose_everything()
    run.span("b")
    stepped.deliver()
    assert run.feed.instance_id != old
    (span,) = api.spans.values()
    assert span["agent_instance_id"] == run.feed.instance_id
    partition = (run.feed.instance_id or "")[10:16]
    assert span["id"][10:16] == span["parent_span_id"][10:16] == partition


def test_what_was_written_ahead_for_the_old_id_is_written_anew() -> None:
    """What comes next is composed while the server works; its answer may change what is right."""
    api = FakeApi()
    stepped = Stepped(api, max_batch_items=1)
    run = stepped.record("a")
    stepped.deliver()
    api.lose_everything()
    for name in "bcd":
        run.span(name)
    stepped.deliver()
    assert api.names() == list("bcd")
    assert {span["agent_instance_id"] for span in api.spans.values()} == {run.feed.instance_id}
    assert {span["id"][10:16] for span in api.spans.values()} == {
        (run.feed.instance_id or "")[10:16]
    }


def test_an_instance_that_stays_unknown_sets_its_run_aside() -> None:
    """Other runs go on."""
    api = FakeApi()
    stepped = Stepped(api)
    run = stepped.record("a")
    stepped.deliver()
    doomed = run.feed.instance_id

    def unknown(item: Json) -> Json | None:
        mine = item.get("details", {}).get("agent_instance_id") == doomed
        return error("not_found") if mine else None

    api.item_rules.append(unknown)
    for name in "bcd":
        run.span(name)
    run.close()
    stepped.record("x").close()
    stepped.settle()
    assert api.names() == ["a", "x"]
    assert stepped.status.set_aside == {"run_not_found": 5}


@pytest.mark.parametrize("code", ["internal", "invalid_action"])
def test_an_item_with_another_code_is_tried_five_times_with_growing_waits(code: str) -> None:
    """Then it is set aside; the rest does not wait for it."""
    api = FakeApi()
    api.refuse_item(named("b"), *[error(code)] * 99)
    stepped = Stepped(api)
    stepped.record(*"abc")
    stepped.deliver()
    assert api.names() == ["a", "c"]
    stepped.settle()
    sent = [key for keys in api.bulk_keys() for key in keys]
    assert max(Counter(sent).values()) == MAX_TRIES
    assert stepped.status.set_aside == {code: 1}


def test_an_item_that_fails_for_a_while_is_delivered_in_the_end() -> None:
    """With the same key at each try."""
    api = FakeApi()
    api.refuse_item(named("b"), *[error("internal")] * (MAX_TRIES - 1))
    stepped = Stepped(api)
    stepped.record(*"abc")
    stepped.settle()
    assert sorted(api.names()) == ["a", "b", "c"]
    assert stepped.status.set_aside == {}


def test_an_item_that_has_to_wait_is_not_tried_before_its_time() -> None:
    """However often the sender is woken by other items; it says when it is due."""
    api = FakeApi()
    api.refuse_item(named("b"), *[error("internal")] * 99)
    stepped = Stepped(api)
    run = stepped.record("b")
    rest_s = stepped.deliver()
    assert 0 < rest_s <= 0.1
    for _ in range(10):
        run.span("x")
        stepped.deliver()
    tries = sum(named("b")(item) for items in api.bulks() for item in items)
    assert tries == 1
    stepped.clock.advance(rest_s + 0.001)
    stepped.deliver()
    assert sum(named("b")(item) for items in api.bulks() for item in items) == 2


def test_neither_the_end_of_a_span_nor_of_its_run_overtakes_a_waiting_beginning() -> None:
    """Else the server would make the span from its end, and refuse its beginning."""
    api = FakeApi()
    api.refuse_item(named("slow"), error("internal"))
    stepped = Stepped(api)
    run = stepped.record()
    start = run.start("slow")
    stepped.deliver(announce=True)
    run.end(start)
    run.quality()
    run.close()
    stepped.deliver()
    assert "finish" not in api.paths()
    assert not any(finishes(item) for items in api.bulks() for item in items)
    assert api.quality == {}
    stepped.settle()
    assert [span["status"] for span in api.spans.values()] == ["complete", "complete"]
    assert next(iter(api.instances.values()))["status"] == "complete"
    assert stepped.status.set_aside == {}


def test_an_end_in_the_batch_after_its_beginning_waits_for_it_too() -> None:
    """The batch is filled while the server works on the one before, and filled again then."""
    api = FakeApi()
    api.refuse_item(named("slow"), error("internal"))
    stepped = Stepped(api, max_batch_items=2)
    run = stepped.record()
    start = run.start("slow")
    stepped.move(announce=True)
    run.end(start)
    run.span("other")
    stepped.deliver()
    assert not any(finishes(item) for items in api.bulks() for item in items)
    assert api.names() == ["other"]
    stepped.settle()
    assert api.names() == ["other", "slow"]
    assert Counter(key for keys in api.bulk_keys() for key in keys).most_common(2)[1][1] == 1
    assert stepped.status.set_aside == {}


def test_a_server_that_goes_on_after_an_error_is_understood() -> None:
    """Each item is judged by its own output."""
    api = FakeApi()
    stepped = Stepped(api)
    stepped.record(*"abc")
    bad = error("bad_request")

    def all_at_once(path: str, body: Json) -> Answer:
        if not path.endswith("/bulk"):
            return None
        outputs = {
            item["idempotency_key"]: bad if named("b")(item) else api.take_item(item)
            for item in body["items"]
        }
        return httpx.Response(200, json={"status": "success", "outputs": outputs})

    api.rules.append(all_at_once)
    stepped.deliver()
    assert len(api.bulks()) == 1
    assert api.names() == ["a", "c"]
    assert stepped.status.set_aside == {"bad_request": 1}


@pytest.mark.parametrize(
    "outputs", [{}, {"other": {"status": "success"}}], ids=["nothing", "something else"]
)
def test_a_bulk_answer_without_our_items_stops_the_sending(outputs: Json) -> None:
    """It would be sent again for ever."""
    api = FakeApi()
    api.script("/bulk", httpx.Response(200, json={"status": "success", "outputs": outputs}))
    stepped = Stepped(api)
    stepped.record("a")
    stepped.deliver()
    assert stepped.status.health is Health.WRONG_SERVER
    stepped.settle()
    assert api.names() == ["a"]


def test_an_item_that_cannot_be_written_is_set_aside_alone() -> None:
    """A fault of ours in one item does not hold up the others."""
    api = FakeApi()
    stepped = Stepped(api)
    run = stepped.record("a")
    run.sink.end_span(run.broken(), 1, "complete", None)
    run.span("b")
    stepped.deliver()
    assert api.names() == ["a", "b"]
    assert stepped.status.set_aside == {"fault": 1}


def test_the_words_of_a_server_are_cut_before_they_become_counts() -> None:
    """A code that is a novel, or holds line breaks, stays one short word."""
    api = FakeApi()
    api.refuse_item(named("a"), *[error("very\nbad " + "x" * 500)] * MAX_TRIES)
    stepped = Stepped(api)
    stepped.record("a")
    stepped.settle()
    (reason,) = stepped.status.set_aside
    assert reason.startswith("very_bad_x")
    assert len(reason) <= 60
