"""Risk: what spans were declared to do, and what was denied, observed or redacted."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final

from msgspec.structs import replace

from remit import risk
from remit.testing import FakeClock
from tests.collecting import Api, World, details
from tests.inside import new_key, pfid
from tests.inside_collector import PAGE_SPANS, sqlite_store
from tests.stores import on_each_store
from tests.subtests import each

Json = Any
READS: Final[Json] = risk(
    allows="read_data",
    forbids="destroy_data",
    takes="contact_information",
    gives=("personal_identifiers", "contact_information"),
    classification="confidential",
).model_dump(mode="json")
PAYS: Final[Json] = risk(
    allows=("financial_transactions", "read_data"), classification="internal"
).model_dump(mode="json")
DECLARED: Final[Json] = {
    "span_type_schemas": [
        {"name": "read", "title": "Reads", "params_schema": {}, "data_risk": READS},
        {"name": "pay", "params_schema": {"required": ["sum"]}, "data_risk": PAYS},
        {"name": "plain", "params_schema": {}},
    ]
}
EXCEEDS: Final = "it may destroy data, which the agent may not"
VIOLATIONS: Final = [{"sentence": EXCEEDS}]
DENIED: Final = {"error": {"type": "remit.errors.DeniedError", "violations": VIOLATIONS}}


def recorded(api: Api) -> str:
    """Return a run in which something of everything happened."""
    run_id: str = api.instance(agent_schema_version=DECLARED)["id"]
    redacted = {"$remit": "redacted", "rule": "type:Sensitive"}
    api.span(run_id, schema_name="read", payload={"who": redacted, "more": [{"a": redacted}]})
    api.span(
        run_id,
        schema_name="read",
        status="complete",
        payload={"$remit": {"violations": VIOLATIONS}},
        result_payload={"$remit": "redacted", "rule": "classification:secret"},
    )
    api.span(run_id, schema_name="pay", payload={"sum": 1, "$$remit": "redacted"})
    api.span(run_id, schema_name="pay", status="failed", result_payload=DENIED)
    api.span(run_id, schema_name="unheard")
    return run_id


def risk_of(api: Api, path: str, **query: str) -> Json:
    """Return a risk."""
    return details(api.get(f"{path}/risk", **query))


@on_each_store
def test_a_run_tells_its_risk(api: Api) -> None:
    """The answer has it by span type, and in total."""
    run_id = recorded(api)
    found = risk_of(api, f"/agent_instance/{run_id}")
    types = {each["schema_name"]: each for each in found.pop("span_types")}
    assert found == {
        "type": "risk",
        "agent_id": api.agent_id,
        "agent_instance_id": run_id,
        "start_time": None,
        "end_time": None,
        "spans": 5,
        "allows": {"read_data": 4, "financial_transactions": 2},
        "takes": {"contact_information": 2},
        "gives": {"contact_information": 2, "personal_identifiers": 2},
        "classification": "confidential",
        "denied": {
            "spans": 1,
            "violations": {EXCEEDS: 1},
            "terminated_runs": 0,
            "termination_reasons": [],
        },
        "observed": {"spans": 1, "violations": {EXCEEDS: 1}},
        "redacted": {"type:Sensitive": 2, "classification:secret": 1},
        "schema_findings": {"invalid": 1, "undeclared": 1, "unchecked": 0},
        "complete": True,
    }
    assert types.keys() == {"read", "pay", "unheard"}
    assert types["read"] == {
        "schema_name": "read",
        "schema_title": "Reads",
        "declared": True,
        "spans": 2,
        "failed": 0,
        "allows": ["read_data"],
        "forbids": ["destroy_data"],
        "takes": ["contact_information"],
        "gives": ["contact_information", "personal_identifiers"],
        "excludes": [],
        "classification": "confidential",
    }
    assert (types["pay"]["spans"], types["pay"]["failed"]) == (2, 1)
    assert not types["unheard"]["declared"]


def redacting(api: Api, run_id: str, count: int, chars: int) -> None:
    """Record spans of which a value was redacted, in bulk."""
    payload = {"a": {"$remit": "redacted", "rule": "name"}, "b": "x" * chars}
    said = api.span_body(run_id, payload=payload)
    api.bulk(*[{"_type": "agent_spans/create", **said} for _ in range(count)])


@on_each_store
def test_all_that_was_redacted_is_counted(api: Api) -> None:
    """Spans are looked into some at a time, each once."""
    run_id: str = api.instance()["id"]
    redacting(api, run_id, 2 * PAGE_SPANS + 7, 10)

    risk = risk_of(api, f"/agent_instance/{run_id}")

    assert risk["redacted"] == {"name": 2 * PAGE_SPANS + 7}
    assert risk["complete"]


@each(("count", "chars"), [(10_050, 0), (40, 2 * 1024 * 1024)], ids=["many", "long"])
def test_what_is_too_much_is_not_looked_into(count: int, chars: int) -> None:
    """Some of it is, and the answer says that this is not all."""
    with closing(sqlite_store(":memory:")) as store:
        api = World(store).account()
        run_id: str = api.instance()["id"]
        redacting(api, run_id, 1, chars)
        (made,) = api.spans(run_id)
        with store.writing() as tx:
            pattern = tx.spans(None, [made["id"]])[made["id"]]
            ids = (pfid(new_key(number * 1_000_000), 5) for number in range(1, count))
            tx.add_spans([replace(pattern, id=each_id) for each_id in ids])

        risk = risk_of(api, f"/agent_instance/{run_id}")

    assert risk["spans"] == count
    assert 0 < risk["redacted"]["name"] < count
    assert not risk["complete"]


@on_each_store
def test_an_agent_tells_the_risk_of_its_runs_within_a_time(api: Api, clock: FakeClock) -> None:
    """The last thirty days unless it is asked for other ones; versions of a type taken together."""
    recorded(api)
    clock.advance(40 * 24 * 3600)
    wider = {
        "span_type_schemas": [{"name": "read", "params_schema": {}, "data_risk": PAYS}],
        "external_identifier": "wider",
    }
    later = api.instance("terminated", agent_schema_version=wider)["id"]
    api.span(later, schema_name="read")
    recent = risk_of(api, f"/agent/{api.agent_id}")
    whole = risk_of(api, f"/agent/{api.agent_id}", start_time="2000-01-01T00:00:00Z")
    old = risk_of(
        api,
        f"/agent/{api.agent_id}",
        start_time="2000-01-01T00:00:00Z",
        end_time=recent["start_time"],
    )
    assert (recent["spans"], whole["spans"], old["spans"]) == (1, 6, 5)
    assert [each["denied"]["terminated_runs"] for each in (recent, whole, old)] == [1, 1, 0]
    assert recent["allows"] == {"financial_transactions": 1, "read_data": 1}
    read = next(each for each in whole["span_types"] if each["schema_name"] == "read")
    assert read["allows"] == ["financial_transactions", "read_data"]
    assert read["forbids"] == ["destroy_data"]
    assert whole["agent_instance_id"] is None


@each("bound", ["0001-01-01T00:00:00Z", "0001-01-02", "9999-12-31T23:59:59Z"])
@each("name", ["start_time", "end_time"])
def test_any_time_can_be_asked_about(api: Api, name: str, bound: str) -> None:
    """The first days of the calendar have no thirty days before them."""
    risk = details(api.get(f"/agent/{api.agent_id}/risk", **{name: bound}))
    assert risk[name].startswith(bound[:10])
