"""Requests that are refused, too large, or get no answer: nothing lost, nothing hammered."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable

import pytest

from remit._deliver.losses import Loss
from remit._deliver.status import Health
from tests.delivering import Stepped
from tests.fake_api import Answer, FakeApi, Json, error, named, refusal
from tests.inside import httpx
from tests.recording import HandRun


@pytest.mark.parametrize("status", [413, 400, 422, 409])
def test_a_request_that_is_refused_as_a_whole_is_halved(status: int) -> None:
    """Until the item is found on which it hangs; that one alone is set aside."""
    api = FakeApi()

    def refuse(path: str, body: Json) -> Answer:
        guilty = path.endswith("/bulk") and any(map(named("bad"), body["items"]))
        return refusal(status, "bad_request") if guilty else None

    api.rules.append(refuse)
    stepped = Stepped(api)
    good = [f"s{number}" for number in range(63)]
    stepped.record(*good[:40], "bad", *good[40:])
    stepped.deliver()
    assert api.names() == good
    assert stepped.status.set_aside == {"bad_request": 1}
    sent = Counter(key for keys in api.bulk_keys() for key in keys)
    assert max(sent.values()) <= math.ceil(math.log2(65)) + 1


@pytest.mark.parametrize(
    ("echo_bytes", "fewest"),
    [(1_000_000, 10), pytest.param(20_000_000, 1, marks=pytest.mark.gate)],  # that one takes 6 s
)
def test_an_answer_that_is_too_long_is_asked_for_in_halves(echo_bytes: int, fewest: int) -> None:
    """An item is set aside only for a refusal: if one answer is too long, the item waits."""
    api = FakeApi()

    def echo(path: str, body: Json) -> Answer:
        if not path.endswith("/bulk"):
            return None
        answer = api.take_bulk(body["items"])
        outputs = b",".join(
            b'"%s":{"status":"success","details":"%s"}' % (key.encode(), b"x" * echo_bytes)
            for key in answer["outputs"]
        )
        return httpx.Response(200, content=b'{"status":"success","outputs":{%s}}' % outputs)

    api.rules.append(echo)
    stepped = Stepped(api)
    names = [f"s{number}" for number in range(40)]
    stepped.record(*names)
    stepped.deliver()
    assert api.names() == names[: len(api.names())]
    assert min(len(keys) for keys in api.bulk_keys()) == fewest
    assert not stepped.status.set_aside
    assert (stepped.status.pending > 0) == (fewest == 1)


def limited(limit_bytes: int) -> Callable[[str, Json], Answer]:
    """Return a rule that takes no request larger than *limit_bytes*."""

    def rule(path: str, body: Json) -> Answer:
        size = len(json.dumps(body, separators=(",", ":")))
        return refusal(413) if path.endswith("/bulk") and size > limit_bytes else None

    return rule


LARGE = {
    "long": json.dumps({"id": 7, "text": "x" * 100_000}).encode(),
    "wide": json.dumps({f"key{n}": n for n in range(2000)}).encode(),
    "huge": json.dumps({str(n): "x" * 300 for n in range(99)}).encode(),
    "list": b"[" + b"1," * 2000 + b"1]",
}


def test_a_single_item_that_is_too_large_is_sent_without_its_payload() -> None:
    """Every span arrives, all JSON parses, and each lost payload is counted."""
    api = FakeApi()
    api.rules.append(limited(2000))
    stepped = Stepped(api)
    run = stepped.record("small")
    for name, payload in LARGE.items():
        run.span(name, payload)
    run.end(run.start("answer"), result=json.dumps({"text": "x" * 9000}).encode())
    run.span("last")
    stepped.deliver()
    assert api.names() == ["small", *LARGE, "answer", "last"]
    payloads = {span["schema_name"]: span["payload"] for span in api.spans.values()}
    for name, payload in LARGE.items():
        assert payloads[name] == {"$remit": "cut", "of": len(payload), "unit": "bytes"}
    (answer,) = (each for each in api.spans.values() if each["schema_name"] == "answer")
    assert answer["payload"] == payloads["last"] == {"order": 1}
    assert answer["result_payload"] == {"$remit": "cut", "of": 9012, "unit": "bytes"}
    assert stepped.status.dropped == {Loss.PAYLOAD_TOO_LARGE: 1 + len(LARGE)}
    assert stepped.status.set_aside == {}


def test_a_failure_after_an_item_was_cut_does_not_cost_the_item() -> None:
    """It is read from the outbox again, with its contents, and cut again."""
    api = FakeApi()
    api.rules.append(limited(2000))
    stepped = Stepped(api)
    stepped.record("small")
    stepped.deliver()
    api.script("/bulk", None, refusal(503))
    HandRun(stepped.sink).open().span("long", LARGE["long"])
    stepped.settle()
    assert stepped.status.set_aside == {}
    assert "long" in api.names()
    assert stepped.status.dropped == {Loss.PAYLOAD_TOO_LARGE: 1}


def test_an_item_that_is_too_large_even_bare_is_set_aside() -> None:
    """There is nothing left to give up."""
    api = FakeApi()
    api.rules.append(limited(100))
    stepped = Stepped(api)
    stepped.record("a", payload=json.dumps({"text": "x" * 9000}).encode())
    stepped.deliver()
    assert stepped.status.set_aside == {"http_413": 2}
    assert stepped.status.pending == 0
    assert stepped.status.dropped == {}


@pytest.mark.parametrize(
    ("answer", "health"),
    [
        (refusal(500), Health.FAILING),
        (refusal(503, text="busy"), Health.FAILING),
        (httpx.ConnectError("refused"), Health.FAILING),
        (httpx.ReadTimeout("slow"), Health.FAILING),
        (refusal(401, "bad_authtoken"), Health.UNAUTHORIZED),
        (refusal(403, "forbidden"), Health.UNAUTHORIZED),
        (refusal(404), Health.WRONG_SERVER),
        (refusal(302, headers={"location": "https://login.example/"}), Health.WRONG_SERVER),
        (httpx.Response(200, text="<html>"), Health.WRONG_SERVER),
        (httpx.Response(200, content=b""), Health.WRONG_SERVER),
        (httpx.Response(200, content=b'{"outputs":'), Health.WRONG_SERVER),
        (httpx.Response(200, json=[]), Health.WRONG_SERVER),
    ],
    ids=[
        *("500", "503", "refused", "timeout", "401", "403", "404", "302"),
        *("HTML", "empty", "half a JSON", "array"),
    ],
)
def test_a_server_that_is_of_no_use_gets_everything_when_it_recovers(
    answer: Answer, health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is sent until the wait is over, nothing is lost, one line for each change."""
    caplog.set_level("INFO", "remit")
    api = FakeApi()
    api.script("/bulk", *[answer] * 3)
    stepped = Stepped(api)
    stepped.record(*"abc")
    assert stepped.deliver() == 1.0
    assert stepped.status.health is health
    assert stepped.send() == 1.0
    assert len(api.bulks()) == 1
    stepped.settle()
    assert api.names() == list("abc")
    assert stepped.status.health is Health.OK
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    keys = api.bulk_keys()
    assert keys == [keys[0]] * 4
    assert stepped.status.set_aside == {}


def test_only_an_answer_is_a_recovery() -> None:
    """Rows that were dealt with without asking the server prove nothing about it."""
    api = FakeApi()
    api.script("/register", refusal(500))
    stepped = Stepped(api)
    stepped.record("a")
    stepped.deliver()
    HandRun(stepped.sink).span()
    stepped.give_up()
    stepped.clock.advance(1)
    stepped.deliver()
    assert stepped.status.dropped == {Loss.RUN_UNKNOWN: 1}
    assert stepped.status.health is Health.FAILING


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_time_that_the_server_asks_for_is_waited(status: int, form: str) -> None:
    """In seconds and as a date, by a flush too."""
    api = FakeApi()
    headers = {"retry-after": "7"}
    if form == "date":
        headers = {
            "retry-after": "Thu, 01 Jan 2026 00:00:07 GMT",
            "date": "Thu, 01 Jan 2026 00:00:00 GMT",
        }
    api.script("/bulk", refusal(status, headers=headers))
    stepped = Stepped(api)
    stepped.record("a")
    assert stepped.deliver() == 7.0
    assert stepped.send(urged=True) == 7.0
    assert len(api.bulks()) == 1
    stepped.clock.advance(7)
    stepped.deliver()
    assert api.names() == ["a"]


@pytest.mark.parametrize(
    "retry_after",
    ["0", "Thu, 01 Jan 2026 00:00:00 GMT", "1"],
    ids=["zero", "a date in the past", "less than our own wait"],
)
def test_the_time_that_the_server_asks_for_is_a_minimum(retry_after: str) -> None:
    """Our own waits grow all the same; a flush skips those, and not the server's."""
    api = FakeApi()
    headers = {"retry-after": retry_after, "date": "Thu, 01 Jan 2026 00:00:09 GMT"}
    api.script("/bulk", *[refusal(429, headers=headers)] * 3)
    stepped = Stepped(api)
    stepped.record("a")
    assert stepped.deliver() == 1.0
    stepped.clock.advance(1)
    assert stepped.deliver() == 2.0
    stepped.clock.advance(1)
    assert stepped.send() == 1.0
    assert len(api.bulks()) == 2
    assert stepped.send(urged=True) == 3.0
    assert len(api.bulks()) == 3
    stepped.clock.advance(3)
    stepped.deliver()
    assert api.names() == ["a"]


def test_a_flush_tries_once_while_the_circuit_is_open() -> None:
    """The server may be back; what comes next need not wait for the time of the next try."""
    api = FakeApi()
    api.script("/bulk", refusal(500), refusal(500))
    stepped = Stepped(api)
    stepped.record("a")
    stepped.deliver()
    assert stepped.send(urged=True) == 2.0
    assert stepped.send() == 2.0
    stepped.send(urged=True)
    assert api.names() == ["a"]
    stepped.record("b")
    stepped.deliver()
    assert api.names() == ["a", "b"]


def test_what_was_sent_before_the_server_failed_is_not_sent_again() -> None:
    """The second batch of three meets a failure; the first is settled."""
    api = FakeApi()
    api.script("/bulk", None, refusal(500))
    stepped = Stepped(api, max_batch_items=2)
    stepped.record(*"abcde")
    stepped.deliver()
    assert stepped.status.pending == 4
    stepped.settle()
    sent = Counter(key for keys in api.bulk_keys() for key in keys)
    assert sorted(sent.values()) == [1, 1, 1, 1, 2, 2]


def test_no_time_left_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """The deadline of a shutdown has passed: nothing more is sent, and nothing said of it here."""
    api = FakeApi()
    stepped = Stepped(api)
    stepped.record("a")
    stepped.move()
    stepped.end_within(0)
    assert stepped.send() == 30.0
    assert api.seen == []
    assert caplog.messages == []
    stepped.end_within(1)
    stepped.deliver()
    assert api.names() == ["a"]


def test_a_call_that_the_deadline_cuts_short_is_no_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The process ends, and the server may be well: nobody is told that it fails."""
    api = FakeApi()
    stepped = Stepped(api)

    def slow(_path: str, _body: Json) -> Answer:
        stepped.clock.advance(2)
        return httpx.ReadTimeout("no answer")

    api.rules.append(slow)
    stepped.record("a")
    stepped.move()
    stepped.end_within(1)
    assert stepped.send() == 30.0
    assert stepped.status.health is Health.IDLE
    assert caplog.messages == []


def test_an_item_that_is_refused_when_it_was_already_cut_is_set_aside() -> None:
    """Its payload counts with the item, not as a loss of its own."""
    api = FakeApi()
    api.rules.append(limited(1000))
    api.refuse_item(named("a"), error("bad_request"))
    stepped = Stepped(api)
    stepped.record("a", payload=json.dumps({"text": "x" * 9000}).encode())
    stepped.deliver()
    assert stepped.status.set_aside == {"bad_request": 1}
    assert stepped.status.dropped == {}
