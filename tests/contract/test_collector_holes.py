"""Runs of which the collector has fewer spans than their end says were recorded."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from remit.collector import Store, create_token
from remit.testing import FakeClock
from tests.collecting import Api, Json, World, details
from tests.inside_collector import forget
from tests.signing_in import signed_in
from tests.stores import on_each_store

pytestmark = on_each_store


def ended(api: Api, spans: int, **more: Json) -> dict[str, Json]:
    """Return a run of remit's without steps whose end says that it recorded *spans* of them."""
    run = api.instance("active", **more)
    root = api.span(run["id"], schema_name="remit:run", payload={})
    finish(api, root["id"], spans)
    return run


def finish(api: Api, root_id: str, spans: int) -> None:
    """End a root span."""
    body = {
        "status": "complete",
        "result_payload": {"lost": 0, "reason": None, "spans": spans, "status": "complete"},
    }
    details(api.post(f"/agent_spans/{root_id}/finish", body))


def listed(api: Api, run_id: str, **query: Json) -> dict[str, Any] | None:
    """Return a run as the list of the runs has it; None if the list does not have it."""
    response = api.http.get("/api/remit/v1/runs", params=query)
    assert response.status_code == 200, response.text
    return next((run for run in response.json()["runs"] if run["id"] == run_id), None)


def mark(api: Api, run_id: str) -> tuple[bool, int | None]:
    """Return whether a run is marked, and how many spans its end says that it has.

    The list, the filter of the list, the feed of changes and the run alone agree.
    """
    run = listed(api, run_id)
    assert run is not None
    is_marked, recorded = "lost" in run["flags"], run["span_counts"].get("recorded")
    assert (listed(api, run_id, flag="lost") is not None) == is_marked
    assert api.shown(run_id)["span_counts"].get("recorded") == recorded
    changes = api.http.get(
        "/api/remit/v1/changes", params={"after": "0-0", "run_id": run_id}
    ).json()["runs"]
    assert [change["flags"] for change in changes] == [run["flags"]]
    return is_marked, recorded


def test_a_run_with_fewer_spans_than_its_end_says_is_marked(world: World) -> None:
    """As after a restore of a copy: 1 of 3 spans is here."""
    api = world.account()

    run = ended(api, 2)

    assert mark(api, run["id"]) == (True, 3)
    assert api.shown(run["id"])["span_counts"]["total"] == 1


def test_a_whole_run_is_not_marked(world: World) -> None:
    """Nor one of which the collector has more: its steps may be those of several processes."""
    api = world.account()
    run = api.instance()
    root = api.span(run["id"], schema_name="remit:run", payload={})
    for _ in range(2):
        api.span(run["id"], status="complete")

    finish(api, root["id"], 1)

    assert mark(api, run["id"]) == (False, None)


def test_a_run_without_the_number_is_never_marked(world: World) -> None:
    """Published clients, and a process that closes the run of another one, do not say it."""
    api = world.account()
    run = api.instance()
    root = api.span(run["id"], schema_name="remit:run", payload={})
    result = {"lost": 0, "reason": "process ended", "status": "failed"}
    body = {"status": "failed", "result_payload": result}
    details(api.post(f"/agent_spans/{root['id']}/finish", body))
    other = api.instance()
    strange = api.span(other["id"], schema_name="remit:run", payload={})
    body = {"status": "complete", "result_payload": {"spans": "many"}}
    details(api.post(f"/agent_spans/{strange['id']}/finish", body))

    assert mark(api, run["id"]) == mark(api, other["id"]) == (False, None)


def test_spans_that_arrive_after_the_end_clear_the_mark(world: World) -> None:
    """One by one; the order of delivery is not guaranteed."""
    api = world.account()
    run = ended(api, 2)

    api.span(run["id"], status="complete")
    first = mark(api, run["id"])
    api.span(run["id"], status="complete")

    assert first == (True, 3)
    assert mark(api, run["id"]) == (False, None)


def test_one_request_may_bring_the_end_before_the_steps(world: World) -> None:
    """With other operations between them."""
    api = world.account()
    run = api.instance()
    root = api.span(run["id"], schema_name="remit:run", payload={})
    result = {"lost": 0, "reason": None, "spans": 2, "status": "complete"}
    end = {"agent_span_id": root["id"], "status": "complete", "result_payload": result}
    step = api.span_body(run["id"], status="complete")

    api.bulk(
        {"_type": "agent_spans/finish", **end},
        {"_type": "agent_instances/finish", "agent_instance_id": run["id"], "status": "complete"},
        {"_type": "agent_spans/create", **step},
        {"_type": "agent_spans/create", **step},
    )

    assert mark(api, run["id"]) == (False, None)


def test_the_span_that_reports_losses_is_no_step(world: World) -> None:
    """The end of the run does not count it, so it does not fill the hole."""
    api = world.account()
    run = ended(api, 1)
    payload = {"counts": {"spool_full": 1}, "reason": "spool_full"}

    api.span(run["id"], schema_name="remit:loss", payload=payload, status="complete")
    with_loss = mark(api, run["id"])
    api.span(run["id"], status="complete")

    assert with_loss == (True, 3)
    assert mark(api, run["id"]) == (True, None)


def test_an_erased_run_is_marked_and_cleared_all_the_same(world: World) -> None:
    """Of the result, only the number is kept."""
    secret = create_token(world.store, "account", may="erase", clock=world.clock).secret
    api = Api(world.http(secret), world.account().agent_id)
    run = ended(api, 1)
    erasure = {"run_id": run["id"], "reason": "asked"}
    assert api.http.post("/api/remit/v1/erasures", json=erasure).status_code == 200

    erased = mark(api, run["id"])
    api.span(run["id"], status="complete")

    assert erased == (True, 2)
    assert mark(api, run["id"]) == (False, None)


@pytest.mark.parametrize("spans", [1, 2], ids=["whole", "with a hole"])
def test_retention_makes_no_hole_and_hides_none(store: Store, spans: int) -> None:
    """What a server deletes because of its age was there."""
    clock = FakeClock()
    world = World(store, clock=clock)
    api = world.account()
    run = api.instance()
    root = api.span(run["id"], schema_name="remit:run", payload={})
    api.span(run["id"], status="complete")
    clock.advance(10)
    finish(api, root["id"], spans)
    before = mark(api, run["id"])

    now_us = clock.wall_ns() // 1000
    forget(store, None, now_us + 1)

    assert before == mark(api, run["id"]) == ((False, None) if spans == 1 else (True, 3))


def test_the_page_and_the_exports_say_it_too(store: Store, world: World) -> None:
    """In the list, in the table for a spreadsheet, and wherever the head of the run is."""
    api = world.account()
    run = ended(api, 2, external_identifier="01m8ry1r3vxd1mwspms4j7awkb")
    reader = signed_in(store)
    said = "0 of 2 steps received"

    assert said in reader.get("/runs?from=all").text
    assert said in reader.get("/runs?from=all&marked=lost").text
    assert said in reader.get(f"/runs/{run['id']}").text
    assert said in reader.get(f"/runs/{run['id']}/file").text
    (row,) = csv.DictReader(reader.get("/runs.csv?from=all").text.splitlines())
    assert (row["steps"], row["recorded_steps"], row["marks"]) == ("0", "2", "undeclared lost")
