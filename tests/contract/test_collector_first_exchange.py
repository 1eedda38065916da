"""The first question of a run and its answer, as the collector keeps them with the run."""

from __future__ import annotations

from typing import Any, Final

from remit import risk
from remit.collector import Store
from remit.testing import FakeClock
from tests.collecting import Api, Json, details
from tests.inside_collector import AskedFor, erase, forget, root_id
from tests.stores import on_each_store

RUNS: Final = "/api/remit/v1/runs"
SECRET: Final = risk(allows="read_data", classification="confidential").model_dump(mode="json")
DECLARED: Final[dict[str, Json]] = {
    "span_type_schemas": [
        {"name": "remit:run", "params_schema": {}},
        {"name": "desk:answer", "params_schema": {}},
        {"name": "desk:secret", "params_schema": {}, "data_risk": SECRET},
    ]
}
DAY_S: Final = 24 * 3600


def begun(api: Api) -> str:
    """Return the id of a run with a root span."""
    run = str(api.instance("active", agent_schema_version=DECLARED)["id"])
    api.span(run, schema_name="remit:run", id=root_id(run), payload={})
    return run


def step(api: Api, run: str, question: Json, **more: Json) -> str:
    """Return the id of a new span directly below the root."""
    below: dict[str, Any] = {"schema_name": "desk:answer", "parent_span_id": root_id(run), **more}
    return str(api.span(run, payload={"question": question}, **below)["id"])


def finish(api: Api, span: str, answer: Json, status: str = "complete") -> None:
    """End a span."""
    body = {"status": status, "result_payload": {"result": answer}}
    details(api.post(f"/agent_spans/{span}/finish", body))


def exchange(api: Api, run: str) -> tuple[Json, Json]:
    """Return question and answer of a run, as a list has them."""
    listed = api.http.get(RUNS).json()["runs"]
    return next((each["question"], each["answer"]) for each in listed if each["id"] == run)


@on_each_store
def test_the_first_question_and_its_answer_are_kept(api: Api) -> None:
    """Of spans directly below the root, also if the end comes later; nothing replaces them."""
    run = begun(api)
    assert exchange(api, run) == (None, None)
    first = step(api, run, "Where is it?")
    assert exchange(api, run) == ("Where is it?", None)
    inner = step(api, run, "inner", parent_span_id=first)
    second = step(api, run, "And the other?")
    finish(api, inner, "inner answer")
    finish(api, second, "There.")
    assert exchange(api, run) == ("Where is it?", None)
    finish(api, first, "Here.")
    step(api, run, "A third?", status="complete", result_payload={"result": "No."})
    assert exchange(api, run) == ("Where is it?", "Here.")


@on_each_store
def test_the_answer_may_come_after_a_question_to_a_person(api: Api) -> None:
    """The graph that asked was suspended; the one that goes on with the answer has the result."""
    run = begun(api)
    finish(api, step(api, run, "Refund it"), None, status="cancelled")
    resumed = {"agent_name": "desk", "inputs": {"resume": "yes"}}
    below: dict[str, Any] = {"schema_name": "desk:answer", "parent_span_id": root_id(run)}
    finish(api, str(api.span(run, payload=resumed, **below)["id"]), "Not asked yet.")
    assert exchange(api, run) == ("Refund it", None)
    api.span(run, schema_name="remit:asked", status="complete", payload={"asked": "May I?"})
    finish(api, str(api.span(run, payload=resumed, **below)["id"]), "Refunded.")
    assert exchange(api, run) == ("Refund it", "Refunded.")


@on_each_store
def test_a_failed_step_has_no_answer(api: Api) -> None:
    """Its question says what the run was about."""
    run = begun(api)
    finish(api, step(api, run, "Where is it?"), "half an ans", status="failed")
    assert exchange(api, run) == ("Where is it?", None)


@on_each_store
def test_values_that_are_shown_on_request_are_not_listed(api: Api) -> None:
    """Neither the question nor the answer of a confidential step."""
    run = begun(api)
    finish(api, step(api, run, "Who is ill?", schema_name="desk:secret"), "Ann.")
    assert exchange(api, run) == (None, None)


@on_each_store
def test_an_erasure_and_the_age_of_payloads_delete_both(
    api: Api, store: Store, clock: FakeClock
) -> None:
    """A later step of an erased run has no question either."""
    run, old = begun(api), begun(api)
    for each in (run, old):
        finish(api, step(api, each, "Where is it?"), "Here.")
    assert erase(store, [run], AskedFor.RUN, reason="x", erased_by="ann").runs == 1
    step(api, run, "Who?")
    assert exchange(api, run) == (None, None)
    assert exchange(api, old) == ("Where is it?", "Here.")
    clock.advance(2 * DAY_S)
    young = begun(api)
    step(api, young, "And now?")
    forget(store, None, clock.wall_ns() // 1000 - DAY_S * 1_000_000, most_rows=1)
    assert exchange(api, old) == (None, None)
    assert exchange(api, young) == ("And now?", None)
