"""Erasing: the payloads of a run go from everywhere, its skeleton stays, and so does a record."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

import psycopg
from psycopg import sql

from remit import risk
from remit.collector import Store
from remit.testing import FakeClock
from tests.collecting import Api, Json, World, details
from tests.inside_collector import AskedFor, Erased, erase, runs_of_person
from tests.stores import on_each_store
from tests.subtests import each

CANARY = "canary-4711"
EXCEEDING: Final[dict[str, Json]] = {"$remit": {"violations": [{"sentence": f"it names {CANARY}"}]}}
FAILED: Final[dict[str, Json]] = {
    "error": {
        "type": "DeniedError",
        "message": CANARY,
        "violations": [{"sentence": f"it may not {CANARY}"}],
    }
}


def keyed(run: dict[str, Json], step: str) -> dict[str, Json]:
    """Return the key of a step on a run."""
    return {"idempotency_key": f"{step}-{run['id']}"}


OPEN: Final = risk(allows="read_data", classification="internal").model_dump(mode="json")
DECLARED: Final[dict[str, Json]] = {
    "span_type_schemas": [
        {"name": "desk:answer", "params_schema": {}, "template": "about {{ question }}"},
        {"name": "desk:refund", "params_schema": {}, "data_risk": OPEN},
        {"name": "remit:run", "params_schema": {}, "template": "{{ purpose }}"},
    ]
}
"""With summaries, and a step whose failures are kept with the run."""


def told(api: Api, subject: Json = "customer-9") -> dict[str, Json]:
    """Return a run that says the canary in every place that there is."""
    run = api.instance("pending", idempotency_key=uuid4().hex, agent_schema_version=DECLARED)
    path = f"/agent_instance/{run['id']}"
    details(api.post(f"{path}/start", keyed(run, "start")))
    root = {"subject": subject, "labels": {"a": CANARY, CANARY: "b"}, "purpose": CANARY}
    api.span(run["id"], schema_name="remit:run", payload=root, status="complete")
    span = api.span(run["id"], payload={"question": CANARY, **EXCEEDING})
    details(api.post(f"/agent_spans/{span['id']}/finish", {"result_payload": {"answer": CANARY}}))
    api.span(run["id"], schema_name="desk:refund", status="failed", result_payload=FAILED)
    quality = {"name": "good", "payload": {"why": CANARY}, **keyed(run, "quality")}
    details(api.post(f"{path}/record_quality", quality))
    ended = {"reason": f"because of {CANARY}", **keyed(run, "terminate")}
    details(api.post(f"{path}/terminate", ended))
    return run


def skeleton(spans: list[dict[str, Json]]) -> list[tuple[Json, ...]]:
    """Return what stays of spans."""
    names = ("id", "parent_span_id", "schema_name", "status", "started_at", "finished_at")
    return [tuple(span[name] for name in names) for span in spans]


def erased(
    store: Store, *runs: str, asked_for: AskedFor = AskedFor.RUN, later_s: float = 0
) -> Erased:
    """Erase runs."""
    clock = FakeClock()
    clock.advance(later_s)
    return erase(store, runs, asked_for, reason="they asked", erased_by="ann", clock=clock)


@on_each_store
def test_the_payloads_go_and_the_skeleton_stays(api: Api, store: Store) -> None:
    """Other runs keep their payloads."""
    run, other = told(api), api.instance("active")
    api.span(other["id"], payload={"question": CANARY})
    before = api.spans(run["id"])

    assert erased(store, run["id"]) == Erased(runs=1, spans=3, responses=4)

    after = api.spans(run["id"])
    shown = api.shown(run["id"])
    assert CANARY not in json.dumps([after, shown])
    assert skeleton(after) == skeleton(before)
    assert [span["payload"] for span in after] == [{}] * 3
    assert [span["result_payload"] for span in after] == [None, {}, {}]
    assert (shown["status"], shown["termination_reason"]) == ("terminated", "erased")
    assert shown["quality_payloads"] == {}
    assert shown["span_counts"]["total"] == 3
    assert CANARY in json.dumps(api.spans(other["id"]))


@on_each_store
def test_a_record_says_what_was_erased_when_why_and_by_whom(api: Api, store: Store) -> None:
    """A second erasure finds nothing more; the record has both."""
    run = told(api)
    erased(store, run["id"])
    erased(store, run["id"], asked_for=AskedFor.AGENT, later_s=1)

    with store.reading() as tx:
        first, second = tx.erasures(run["id"])
    assert (first.spans, first.responses, first.reason, first.erased_by) == (
        3,
        4,
        "they asked",
        "ann",
    )
    assert (first.asked_for, second.asked_for) == ("run", "agent")
    assert first.inserted_at == FakeClock().wall_ns() // 1000
    assert first.account_id == run["account_id"]
    assert second.spans == 0


@on_each_store
def test_a_repeated_request_is_not_answered_what_was_erased(api: Api, store: Store) -> None:
    """The answers that were kept for it are the skeleton's."""
    run = told(api)
    path = f"/agent_instance/{run['id']}"
    quality = {"name": "good", "payload": {"why": CANARY}, **keyed(run, "quality")}
    assert CANARY in api.post(f"{path}/record_quality", quality).text
    erased(store, run["id"])

    for step, body in (
        ("record_quality", quality),
        ("terminate", {"reason": "x", **keyed(run, "terminate")}),
    ):
        answer = api.post(f"{path}/{step}", body)
        assert details(answer)["id"] == run["id"]
        assert CANARY not in answer.text


@on_each_store
def test_what_comes_later_for_an_erased_run_is_kept_without_payloads(
    api: Api, store: Store
) -> None:
    """A run that was erased stays so: spans, results, qualities and reasons; alone and in bulk."""
    run = api.instance("active", agent_schema_version=DECLARED)
    path = f"/agent_instance/{run['id']}"
    open_span = api.span(run["id"], payload={"question": "?"})
    erased(store, run["id"])

    said = {"payload": {"q": CANARY}, "result_payload": {"a": CANARY}, "status": "complete"}
    late = api.span(run["id"], **said)
    told_later = {"payload": EXCEEDING, "result_payload": FAILED, "status": "failed"}
    api.span(run["id"], schema_name="desk:refund", **told_later)
    api.bulk({"_type": "agent_spans/create", **api.span_body(run["id"], **said)})
    root = {"subject": "customer-9", "labels": {"a": CANARY}, "purpose": CANARY}
    api.span(run["id"], schema_name="remit:run", payload=root, status="complete")
    finish = f"/agent_spans/{open_span['id']}/finish"
    details(api.post(finish, {"result_payload": {"a": CANARY}}))
    details(api.post(f"{path}/record_quality", {"name": "n", "payload": {"a": CANARY}}))
    details(api.post(f"{path}/terminate", {"reason": CANARY}))

    shown = api.shown(run["id"])
    assert late["payload"] == {}
    assert (shown["span_counts"]["total"], shown["termination_reason"]) == (5, "erased")
    assert CANARY not in json.dumps([api.spans(run["id"]), shown])
    assert CANARY not in content(store.path)
    with store.reading() as tx:
        assert runs_of_person(tx, AskedFor.SUBJECT, "customer-9") == []


@on_each_store
def test_a_repeated_create_of_an_erased_span_is_the_same_still(api: Api, store: Store) -> None:
    """A client that did not see the answer may send it again, with its payload."""
    run = api.instance("active")
    span = api.span(run["id"], payload={"q": CANARY})
    erased(store, run["id"])

    again = api.span(run["id"], id=span["id"], payload={"q": CANARY})

    assert (again["id"], again["payload"]) == (span["id"], {})


@on_each_store
def test_all_runs_about_somebody_are_found(api: Api, store: Store, world: World) -> None:
    """The subject has to match exactly, in every account; runs created in bulk are included."""
    foreign = world.foreign()
    runs = [told(api, "customer-9"), told(api, "customer-90"), told(foreign, "customer-9")]
    body = api.span_body(runs[1]["id"], schema_name="remit:run", payload={"subject": "other"})
    api.bulk({"_type": "agent_spans/create", **body})

    with store.reading() as tx:
        about = partial(runs_of_person, tx, AskedFor.SUBJECT)
        assert sorted(about("customer-9")) == sorted([runs[0]["id"], runs[2]["id"]])
        assert about("customer-90") == about("other") == [runs[1]["id"]]
        assert about("customer") == []
        assert tx.runs_of_agent(str(api.agent_id)) == sorted(run["id"] for run in runs[:2])

    erased(store, runs[0]["id"], runs[2]["id"], asked_for=AskedFor.SUBJECT)
    with store.reading() as tx:
        assert runs_of_person(tx, AskedFor.SUBJECT, "customer-9") == []


@on_each_store
@each(
    "subject",
    [None, 5, {"$remit": "redacted"}, "", "nul\x00", "x" * 100_000],
    ids=["none", "number", "marker", "empty", "NUL", "long"],
)
def test_a_subject_may_be_anything(api: Api, store: Store, subject: Json) -> None:
    """A value that is no text is no subject."""
    run = told(api, subject)
    with store.reading() as tx:
        found = runs_of_person(tx, AskedFor.SUBJECT, subject) if isinstance(subject, str) else []
        assert found == ([run["id"]] if isinstance(subject, str) else [])


@on_each_store
def test_two_spans_may_name_the_same_subject(api: Api, store: Store) -> None:
    """A resumed run has a root span for each part."""
    run = told(api)
    api.span(run["id"], schema_name="remit:run", payload={"subject": "customer-9"})

    with store.reading() as tx:
        assert runs_of_person(tx, AskedFor.SUBJECT, "customer-9") == [run["id"]]


def test_a_run_that_is_gone_is_passed_over(store: Store) -> None:
    """It was removed because it was old, say."""
    assert erased(store, "nothing") == Erased(0, 0, 0)


@on_each_store
def test_nothing_is_left_in_the_database(api: Api, store: Store) -> None:
    """Every column of every table; on SQLite also the files, with their free pages and the log."""
    run = told(api)
    for number in range(50):
        span = api.span(run["id"], payload={"q": CANARY * (number * 40)})
        details(api.post(f"/agent_spans/{span['id']}/finish", {"result_payload": {"a": CANARY}}))
    place = store.path
    subject_hash = hashlib.sha256(b"customer-9").hexdigest()
    assert CANARY in content(place)
    for column in WHERE_IT_IS:
        assert CANARY in column_of(store, *column), column
    assert subject_hash in content(place)

    erased(store, run["id"])
    store.scrub()

    assert CANARY not in content(place)
    assert subject_hash not in content(place)
    assert api.shown(run["id"])["span_counts"]["total"] == 53


WHERE_IT_IS: Final = (
    ("runs", "summary"),
    ("runs", "failure_text"),
    ("runs", "termination_reason"),
    ("runs", "quality_payloads"),
    ("run_labels", "key"),
    ("run_labels", "value"),
    ("spans", "summary"),
    ("span_findings", "sentence"),
    ("span_payloads", "payload"),
    ("span_payloads", "result"),
)
"""The columns that may hold what a payload said."""


def column_of(store: Store, table: str, column: str) -> str:
    """Return the texts of a column."""
    with store.reading() as tx:
        return str(list(tx.rows(f"SELECT {column} FROM {table}")))


def content(place: str) -> str:
    """Return all that a database holds: its files, or the rows of its tables."""
    if "://" not in place:
        files = Path(place).parent.glob(Path(place).name + "*")
        return b"".join(file.read_bytes() for file in files).decode("latin-1")
    with psycopg.connect(place) as connection:
        named = connection.execute(
            "SELECT c.relname FROM pg_class AS c WHERE c.relkind IN ('r', 'p') "
            "AND c.relnamespace = 'public'::regnamespace"
        ).fetchall()
        text = sql.SQL("SELECT t::text FROM {} AS t")
        texts = [
            connection.execute(text.format(sql.Identifier(name))).fetchall() for (name,) in named
        ]
        answers = connection.execute(
            "SELECT convert_from(response, 'UTF8') FROM idempotency_keys WHERE response IS NOT NULL"
        ).fetchall()
    return str(texts) + str(answers)
