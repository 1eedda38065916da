"""The conversation of a run, whose data it handles and who asked: filters and erasure."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import pytest

from remit.collector import Store, create_token
from tests.collecting import Api, Json, World, details, refusal
from tests.inside_collector import root_id
from tests.stores import on_each_store
from tests.subtests import each

RUNS: Final = "/api/remit/v1/runs"
THREE: Final[dict[str, Json]] = {
    "conversation": "thread-9",
    "subject": "customer-17",
    "on_behalf_of": "user-42",
}
DECLARED: Final[dict[str, Json]] = {
    "span_type_schemas": [
        {"name": "remit:run", "params_schema": {}},
        {"name": "langchain:agent", "params_schema": {"x-remit-kind": "agent"}},
        {"name": "desk:answer", "params_schema": {}},
    ]
}


def told(api: Api, **said: Json) -> str:
    """Return the id of a run whose root span says this."""
    run = api.instance("active", agent_schema_version=DECLARED)["id"]
    api.span(run, schema_name="remit:run", id=root_id(run), payload=said)
    return str(run)


def listed(api: Api, **query: Json) -> list[str]:
    """Return the ids of the runs that a query finds, newest first."""
    answer = api.http.get(RUNS, params=query)
    assert answer.status_code == 200, answer.text
    return [run["id"] for run in answer.json()["runs"]]


def hashed(text: str) -> str:
    """Return a hash as the documentation defines it."""
    return hashlib.sha256(text.encode()).hexdigest()


@on_each_store
def test_runs_are_found_by_what_the_program_said(world: World) -> None:
    """By the text or by the hash of a person, beside other filters, in an account."""
    api, foreign = world.account(), world.foreign()
    first = told(api, **THREE)
    second = told(api, conversation="thread-9", on_behalf_of="user-77")
    third = told(api, subject="user-42", on_behalf_of="customer-17")
    told(foreign, **THREE)

    assert listed(api, conversation="thread-9") == [second, first]
    assert listed(api, conversation="thread") == []
    assert listed(api, on_behalf_of="user-42") == listed(api, subject="customer-17") == [first]
    assert listed(api, subject="user-42") == listed(api, on_behalf_of="customer-17") == [third]
    assert listed(api, subject_hash=hashed("customer-17")) == [first]
    assert listed(api, on_behalf_of_hash=hashed("on_behalf_of\0user-42")) == [first]
    assert listed(api, conversation="thread-9", on_behalf_of="user-77") == [second]
    assert listed(api, conversation="thread-9", on_behalf_of="user-77", status="failed") == []
    assert listed(api, subject="customer-17", on_behalf_of="user-42", limit=1) == [first]
    assert listed(api, conversation="thread-9", before=second) == [first]
    assert listed(api, conversation="thread-9", agent_id=api.agent_id) == [second, first]
    answer = api.http.get(RUNS, params={"conversation": "thread-9", "total": "true"}).json()
    assert answer["total"] == 2
    assert [run["conversation"] for run in answer["runs"]] == ["thread-9", "thread-9"]
    assert [run["on_behalf_of"] for run in answer["runs"]] == ["user-77", "user-42"]


@on_each_store
def test_a_person_is_named_in_one_way(api: Api) -> None:
    """A text and a hash together may contradict each other."""
    for name in ("subject", "on_behalf_of"):
        both = {name: "ann", f"{name}_hash": "0" * 64}
        wrong = refusal(api.http.get(RUNS, params=both), 422)
        assert wrong["errors"] == {f"{name}_hash": [f"must be left out beside {name}"]}


@on_each_store
@each(
    "conversation",
    [None, 5, {"$remit": "redacted"}, "", "nul\x00", "x" * 201],
    ids=["none", "number", "marker", "empty", "NUL", "long"],
)
def test_what_is_no_conversation_is_left_out(api: Api, conversation: Json) -> None:
    """Another client may send anything."""
    run = told(api, conversation=conversation)
    shown, *_ = api.http.get(RUNS).json()["runs"]
    assert (shown["id"], shown["conversation"]) == (run, None)


@on_each_store
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two requests"])
def test_the_agent_of_a_framework_says_what_the_root_does_not(api: Api, together: bool) -> None:
    """Directly below the root; a function of the program says nothing, whatever its arguments."""
    run = api.instance("active", agent_schema_version=DECLARED)["id"]
    root: dict[str, Any] = api.span_body(
        run, schema_name="remit:run", id=root_id(run), payload={"subject": "customer-17"}
    )
    below = {"parent_span_id": root_id(run)}
    said = {"agent_name": "Graph", **THREE, "subject": "framework"}
    function = {"conversation": "argument", "on_behalf_of": "argument"}
    spans = [
        api.span_body(run, schema_name="desk:answer", payload=function, **below),
        api.span_body(run, schema_name="langchain:agent", payload=said, **below),
        api.span_body(run, schema_name="langchain:agent", payload=function),
        api.span_body(
            run, schema_name="langchain:agent", payload={"conversation": "later"}, **below
        ),
    ]
    if together:
        api.bulk(*({"_type": "agent_spans/create", **span} for span in (root, *spans)))
    else:
        for span in (root, *spans):
            details(api.post("/agent_spans", span))

    for found in (
        {"conversation": "thread-9"},
        {"on_behalf_of": "user-42"},
        {"subject": "customer-17"},
    ):
        assert listed(api, **found) == [run]
    for name in ("conversation", "on_behalf_of"):
        assert listed(api, **{name: "argument"}) == []
    assert listed(api, subject="framework") == listed(api, conversation="later") == []


@on_each_store
def test_runs_are_erased_by_the_person_who_asked(world: World, store: Store) -> None:
    """Not by a subject of the same name; nothing that was said stays."""
    api = world.account()
    token = create_token(world.store, "account", name="desk-47", may="erase", clock=world.clock)
    eraser = Api(world.http(token.secret))
    first, second = told(api, **THREE), told(api, subject="user-42")
    body = {"on_behalf_of": "user-42", "reason": "she asked"}
    answer = eraser.http.post("/api/remit/v1/erasures", json=body)
    assert (answer.json()["runs"], answer.status_code) == (1, 200)
    for name, text in THREE.items():
        assert listed(api, **{name: text}) == []
    assert listed(api, subject="user-42") == [second]
    records = eraser.http.get("/api/remit/v1/erasures", params={"run_id": first}).json()
    assert [record["asked_for"] for record in records["erasures"]] == ["on_behalf_of"]
    # What comes later for the run is not kept.
    api.span(first, schema_name="remit:run", payload=dict(THREE))
    with store.reading() as tx:
        assert list(tx.rows("SELECT conversation FROM runs WHERE conversation IS NOT NULL")) == []
        ((hashes,),) = tx.rows("SELECT COUNT(*) FROM run_subjects")
    assert hashes == 1
