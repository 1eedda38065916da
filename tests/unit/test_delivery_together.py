"""Runs that share bulk requests: registration, start, spans, quality payloads and end."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from remit._deliver.calls import SIDE_BY_SIDE, BulkSupport
from tests.delivering import Stepped
from tests.fake_api import RUNS_IN_BULK, Answer, FakeApi, Json, error, refusal
from tests.inside import POLL_INTERVAL_S, httpx
from tests.recording import HandRun, agent

REGISTER = "agent_instances/register"
OPERATIONS = (
    "agent_instances/start",
    "agent_spans/create",
    "agent_instances/record_quality",
    "agent_instances/finish",
)


def record(stepped: Stepped, count: int, *, quality: bool = False) -> list[HandRun]:
    """Record whole runs of two steps."""
    runs: list[HandRun] = []
    for _ in range(count):
        run = HandRun(stepped.sink).open()
        run.span("a")
        run.span("b")
        if quality:
            run.quality()
        run.close()
        runs.append(run)
    return runs


def check_delivered(api: FakeApi, stepped: Stepped, runs: list[HandRun]) -> None:
    """Assert that each run and each span arrived once, with the right status."""
    assert stepped.status.pending == 0
    assert stepped.status.set_aside == {}
    assert stepped.status.dropped == {}
    assert [instance["status"] for instance in api.instances.values()] == ["complete"] * len(runs)
    assert {run.feed.instance_id for run in runs} == api.instances.keys()
    of_instances = Counter(span["agent_instance_id"] for span in api.spans.values())
    assert set(of_instances.values()) == {3}
    assert len(of_instances) == len(runs)
    assert Counter(api.names()) == {"a": len(runs), "b": len(runs)}


def test_runs_of_a_window_take_two_requests_together() -> None:
    """One registers them all, the other has everything else of each run, in its order."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    stepped = Stepped(api)
    runs = record(stepped, 5, quality=True)
    stepped.deliver()
    assert api.paths() == ["bulk", "bulk"]
    registrations, rest = api.bulks()
    assert [item["_type"] for item in registrations] == [REGISTER] * 5
    for run in runs:
        instance_id = run.feed.instance_id
        types = [
            item["_type"].removeprefix("agent_")
            for item in rest
            if instance_id
            in (item.get("agent_instance_id"), item.get("details", {}).get("agent_instance_id"))
        ]
        assert types == [
            "instances/start", "spans/create", "spans/create", "spans/create",
            "instances/record_quality", "instances/finish",
        ]  # fmt: skip
    check_delivered(api, stepped, runs)
    assert api.quality == {"helpful": {"score": 1}}


def test_a_run_alone_is_registered_in_bulk_too() -> None:
    """Its start, its spans and its end share one request."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    stepped = Stepped(api)
    runs = record(stepped, 1)
    stepped.deliver()
    assert api.paths() == ["bulk", "bulk"]
    check_delivered(api, stepped, runs)


def test_a_run_that_lasts_is_started_once() -> None:
    """Later windows hold its spans and its end only."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    stepped.deliver()
    run.span("a")
    stepped.deliver()
    run.span("b")
    run.close()
    stepped.deliver()
    types = [item["_type"] for items in api.bulks() for item in items]
    assert types.count("agent_instances/start") == 1
    assert types.count("agent_instances/finish") == 1
    check_delivered(api, stepped, [run])


def test_both_forms_have_the_same_idempotency_keys() -> None:
    """A try in one and a repetition in the other are one operation."""
    keys: list[set[str]] = []
    for in_bulk in (frozenset[str](), RUNS_IN_BULK):
        api = FakeApi(in_bulk=in_bulk)
        stepped = Stepped(api)
        (run,) = record(stepped, 1, quality=True)
        stepped.deliver()
        sent = [seen.body for seen in api.seen if "items" not in seen.body]
        sent += [item for items in api.bulks() for item in items]
        keys.append({body["idempotency_key"].replace(run.key, "RUN") for body in sent})
        keys[-1] = {key for key in keys[-1] if key.endswith("RUN")}
    assert keys[0] == keys[1] == {"reg-RUN", "start-RUN", "fin-RUN"}


def bad_request(path: str, body: Json, *types: str) -> Answer:
    """Refuse a whole bulk request that has an item of one of *types*."""
    items = body.get("items", ()) if path.endswith("/bulk") else ()
    if any(item["_type"].startswith(types) for item in items):
        return refusal(422, "validation_errors", errors={"items": ["has an unknown _type"]})
    return None


def leave_out(api: FakeApi, path: str, body: Json, *types: str) -> Answer:
    """Answer a bulk request without the items of *types*, as if they were not there."""
    if not path.endswith("/bulk"):
        return None
    items = [item for item in body["items"] if not item["_type"].startswith(types)]
    return httpx.Response(200, json=api.take_bulk(items))


NEW_TYPES = {
    "registrations": (REGISTER,),
    "starts, quality and ends": (
        "agent_instances/start", "agent_instances/finish", "agent_instances/record_quality",
    ),
    "all": ("agent_instances/",),
}  # fmt: skip
LEFT_OUT = ("starts, quality and ends",)
"""A registration that is left out may have been carried out: it is repeated in bulk."""


@pytest.mark.parametrize(
    ("way", "types"),
    [
        pytest.param(way, types, id=f"{way}-{name}")
        for way in ("the whole request", "an error item", "left out")
        for name, types in NEW_TYPES.items()
        if way != "left out" or name in LEFT_OUT
    ],
)
@pytest.mark.parametrize("code", ["bad_request", "validation_errors", "not_found", "forbidden"])
def test_a_server_that_does_not_take_them_in_bulk_gets_them_alone(
    way: str, types: tuple[str, ...], code: str
) -> None:
    """It is tried once; everything arrives once, and no run is set aside."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    if way == "the whole request":
        api.rules.append(lambda path, body: bad_request(path, body, *types))
    elif way == "an error item":
        api.item_rules.append(lambda item: error(code) if item["_type"].startswith(types) else None)
    else:
        api.rules.append(lambda path, body: leave_out(api, path, body, *types))
    stepped = Stepped(api)
    runs = record(stepped, 3, quality=True)
    stepped.settle()
    tried = sum(any(item["_type"].startswith(types) for item in items) for items in api.bulks())
    runs += record(stepped, 3, quality=True)
    stepped.settle()
    check_delivered(api, stepped, runs)
    again = sum(any(item["_type"].startswith(types) for item in items) for items in api.bulks())
    assert again == tried


@pytest.mark.parametrize("operation", [REGISTER, *OPERATIONS])
def test_a_server_that_has_no_time_for_an_item_takes_it_in_bulk_all_the_same(
    operation: str,
) -> None:
    """A collector of remit answers so after half a second; later runs share requests."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    api.refuse_item(lambda item: bool(item["_type"] == operation), error("unavailable"))
    stepped = Stepped(api)
    runs = record(stepped, 3, quality=True)
    stepped.settle()
    seen = len(api.paths())
    runs += record(stepped, 3, quality=True)
    stepped.settle()
    assert api.paths()[seen:] == ["bulk", "bulk"]
    check_delivered(api, stepped, runs)


def test_a_registration_that_is_refused_stops_no_other() -> None:
    """The answer ends at it: what came is used, and the rest goes into the next request."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    stepped = Stepped(api)
    before = record(stepped, 2)
    wrong = HandRun(stepped.sink, agent("desk:broken", agent_id="bad")).open()
    wrong.close()
    after = record(stepped, 2)
    api.item_rules.append(
        lambda item: error("validation_errors") if item.get("agent_id") == "bad" else None
    )
    stepped.deliver()
    assert api.paths() == ["bulk", "bulk", "bulk"]
    assert stepped.status.set_aside == {"run_validation_errors": 4}
    assert {run.feed.instance_id for run in before + after} == api.instances.keys()


def test_a_server_that_needs_the_agents_id_is_told_it_in_bulk_too() -> None:
    """The first refusal names the id; it is looked up, and bulk requests go on."""
    api = FakeApi(in_bulk=RUNS_IN_BULK, needs_agent_id=True)
    stepped = Stepped(api)
    runs = record(stepped, 4)
    stepped.deliver()
    assert api.paths() == ["bulk", "show", "agent", "bulk", "bulk", "bulk"]
    runs += record(stepped, 4)
    stepped.deliver()
    assert api.paths()[6:] == ["bulk", "bulk"]
    check_delivered(api, stepped, runs)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_instance_that_the_server_forgot_is_registered_once_more(operation: str) -> None:
    """Whichever operation finds it out; the other runs go on."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    stepped = Stepped(api)
    warm = record(stepped, 2)
    stepped.deliver()
    runs = record(stepped, 3, quality=True)
    seen = len(api.bulks())
    api.refuse_item(lambda item: bool(item["_type"] == operation), error("not_found"))
    stepped.settle()
    check_delivered(api, stepped, warm + runs)
    registered = [
        item["idempotency_key"]
        for items in api.bulks()[seen:]
        for item in items
        if item["_type"] == REGISTER
    ]
    alone = [s.body["idempotency_key"] for s in api.seen if s.path.endswith("/register")]
    assert sorted(Counter(registered + alone).values()) == [1, 1, 2]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("position", [0, 1, 2], ids=["first", "middle", "last"])
def test_an_item_that_fails_for_now_is_tried_again(operation: str, position: int) -> None:
    """What comes after it in its run waits for it, and arrives after it."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    stepped = Stepped(api)
    warm = record(stepped, 2)
    stepped.deliver()
    runs = record(stepped, 3, quality=True)
    met: list[str] = []

    def rule(item: Json) -> Json | None:
        if item["_type"] != operation or item["idempotency_key"] in met:
            return None
        met.append(item["idempotency_key"])
        return error("internal_error") if len(met) == position + 1 else None

    api.item_rules.append(rule)
    stepped.settle()
    check_delivered(api, stepped, warm + runs)


@pytest.mark.parametrize("operation", OPERATIONS[1:3])
def test_an_item_that_is_refused_for_good_is_set_aside_alone(operation: str) -> None:
    """Its run is finished all the same."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    stepped = Stepped(api)
    record(stepped, 2)
    stepped.deliver()
    record(stepped, 2, quality=True)
    api.refuse_item(lambda item: bool(item["_type"] == operation), error("validation_errors"))
    stepped.settle()
    assert stepped.status.set_aside == {"validation_errors": 1}
    assert [instance["status"] for instance in api.instances.values()] == ["complete"] * 4


def test_a_start_that_is_refused_for_good_sets_its_run_aside() -> None:
    """A server that will not have it started will not have its spans."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    stepped = Stepped(api)
    record(stepped, 2)
    stepped.deliver()
    record(stepped, 2)
    api.refuse_item(
        lambda item: item["_type"] == "agent_instances/start", error("validation_errors")
    )
    stepped.settle()
    assert stepped.status.set_aside == {"run_validation_errors": 6}
    statuses = [instance["status"] for instance in api.instances.values()]
    assert sorted(statuses) == ["complete", "complete", "complete", "pending"]


@pytest.mark.parametrize("operation", [OPERATIONS[0], OPERATIONS[3]])
def test_what_is_so_already_counts_as_done(operation: str) -> None:
    """Another try got through, or the run was terminated."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    stepped = Stepped(api)
    record(stepped, 3)
    api.refuse_item(lambda item: bool(item["_type"] == operation), error("invalid_action"))
    stepped.settle()
    assert stepped.status.set_aside == {}
    assert stepped.status.pending == 0
    assert "start" not in api.paths()
    assert "finish" not in api.paths()


@pytest.mark.parametrize("answer", [429, 500, 503, "closed", "cut"], ids=str)
@pytest.mark.parametrize("request_number", [1, 2, 3])
def test_a_request_that_fails_is_repeated_with_the_same_keys(
    answer: int | str, request_number: int
) -> None:
    """Whichever request of a window; nothing is lost, and nothing arrives twice."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    number = 0

    def rule(path: str, body: Json) -> Answer:
        nonlocal number
        number += 1
        if number != request_number:
            return None
        if isinstance(answer, int):
            return refusal(answer)
        if path.endswith("/bulk"):
            api.take_bulk(body["items"])  # it worked, and the answer was lost
        if answer == "closed":
            return httpx.ReadError("closed")
        return httpx.Response(200, content=b'{"status":"succ')

    api.rules.append(rule)
    stepped = Stepped(api, max_batch_items=8)
    runs = record(stepped, 3)
    stepped.settle()
    check_delivered(api, stepped, runs)


def test_a_batch_that_is_too_large_is_halved() -> None:
    """Also where it holds the starts and ends of runs."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    api.rules.append(
        lambda path, body: (
            refusal(413) if path.endswith("/bulk") and len(body["items"]) > 4 else None
        )
    )
    stepped = Stepped(api)
    runs = record(stepped, 6)
    stepped.settle()
    check_delivered(api, stepped, runs)


@pytest.mark.parametrize("in_bulk", [frozenset[str](), RUNS_IN_BULK], ids=["alone", "in bulk"])
def test_a_schema_version_travels_once(in_bulk: frozenset[str]) -> None:
    """After the first answer its identifier is enough, until the server forgets it."""
    api = FakeApi(in_bulk=in_bulk, keeps_schema=True)
    stepped = Stepped(api)
    runs = record(stepped, 1)
    stepped.deliver()
    runs += record(stepped, 3)
    stepped.deliver()
    whole = [registered for registered in registrations(api) if "schema_kept" not in registered]
    assert len(registrations(api)) == 4
    assert len(whole) == 1
    assert registrations(api)[-1]["agent_schema_version"] == {"external_identifier": "schema-abc"}
    api.schemas.clear()
    runs += record(stepped, 3)
    stepped.settle()
    check_delivered(api, stepped, runs)
    whole = [registered for registered in registrations(api) if "schema_kept" not in registered]
    assert len(whole) == (4 if in_bulk else 2)


def registrations(api: FakeApi) -> list[Json]:
    """Return every registration that was sent."""
    alone = [seen.body for seen in api.seen if seen.path.endswith("/register")]
    return alone + [item for items in api.bulks() for item in items if item["_type"] == REGISTER]


def test_many_registrations_respect_the_limits_of_a_request() -> None:
    """In number and in bytes."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    stepped = Stepped(api, max_batch_items=10)
    runs = record(stepped, 25)
    stepped.deliver()
    sizes = [len(items) for items in api.bulks() if items[0]["_type"] == REGISTER]
    assert sum(sizes) + api.paths().count("register") == 25
    assert max(sizes) == 10
    check_delivered(api, stepped, runs)


@pytest.mark.parametrize("in_bulk", [frozenset[str](), RUNS_IN_BULK], ids=["alone", "in bulk"])
def test_a_run_that_is_left_open_is_not_finished(in_bulk: frozenset[str]) -> None:
    """Its spans arrive, and nothing of it is kept."""
    api = FakeApi(in_bulk=in_bulk)
    stepped = Stepped(api)
    run = HandRun(stepped.sink).open()
    run.span("a")
    run.close(leave_open=True)
    stepped.deliver()
    assert stepped.status.pending == 0
    assert not stepped.holds(run.key)
    assert [instance["status"] for instance in api.instances.values()] == ["active"]


def test_starts_and_ends_alone_are_sent_side_by_side() -> None:
    """At most four at the same time, of different runs."""
    api = FakeApi()
    together = threading.Semaphore(0)
    running, most = 0, 0
    counting = threading.Lock()

    def rule(path: str, _body: Json) -> Answer:
        nonlocal running, most
        if not path.endswith(("/start", "/finish")):
            return None
        with counting:
            running += 1
            most = max(most, running)
            if running == SIDE_BY_SIDE:
                for _ in range(SIDE_BY_SIDE):
                    together.release()
        assert together.acquire(timeout=60)
        with counting:
            running -= 1
        return None

    api.rules.append(rule)
    stepped = Stepped(api)
    runs = record(stepped, 2 * SIDE_BY_SIDE)
    stepped.deliver()
    assert most == SIDE_BY_SIDE
    check_delivered(api, stepped, runs)


def test_silent_runs_are_asked_after_in_one_request() -> None:
    """One that the server does not know does not keep the others from being read."""
    api = FakeApi(in_bulk=RUNS_IN_BULK)
    stepped = Stepped(api)
    runs = [HandRun(stepped.sink).open() for _ in range(30)]
    stepped.deliver()
    seen = len(api.seen)
    gone, stopped = runs[3].feed.instance_id, runs[29].feed.instance_id
    del api.instances[str(gone)]
    api.instances[str(stopped)] |= {"status": "terminated", "termination_reason": "stop it"}
    stepped.clock.advance(POLL_INTERVAL_S)
    for _ in range(3):
        stepped.send()
        stepped.clock.advance(1)
    assert runs[29].feed.terminated == "stop it"
    assert [run.feed.terminated for run in runs[:29]] == [None] * 29
    assert api.paths()[seen:] == ["bulk", "bulk"]


def test_a_server_that_does_not_read_instances_in_bulk_is_asked_one_by_one() -> None:
    """The documented types of a bulk request are not all that a server may take."""
    api = FakeApi(in_bulk=RUNS_IN_BULK - {"show"})
    stepped = Stepped(api, support=BulkSupport(runs=True))
    runs = [HandRun(stepped.sink).open() for _ in range(3)]
    stepped.deliver()
    api.instances[str(runs[2].feed.instance_id)] |= {"status": "terminated"}
    stepped.clock.advance(POLL_INTERVAL_S)
    for _ in range(3):
        stepped.send()
        stepped.clock.advance(1)
    assert [run.feed.terminated for run in runs] == [None, None, ""]
