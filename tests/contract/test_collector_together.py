"""Several collectors on one database, asked at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest

from remit.collector import create_token, open_store
from remit.models.asks import ASKS
from tests.collecting import Api, Json, World, details, refusal
from tests.inside import httpx, ids
from tests.inside_collector import Page, SpanFilter, Store
from tests.stores import EACH_STORE, empty_database

T = TypeVar("T")

COLLECTORS = 4
ROUNDS = 8
BULK = 500
"""The items of one bulk request, as many as the SDK sends by default."""


@pytest.fixture(params=EACH_STORE)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Store]]:
    """Return the stores of several collectors, all of one database."""
    with empty_database(request.param, tmp_path) as named, ExitStack() as stack:
        opened = [open_store(named) for _ in range(COLLECTORS)]
        for store in opened:
            stack.callback(store.close)
        yield opened


@pytest.fixture
def apis(stores: list[Store]) -> list[Api]:
    """Return the view of one token through each of the collectors."""
    secret = create_token(stores[0], "account").secret
    views = [World(store).http(secret) for store in stores]
    agent = details(views[0].post("/api/v1/agent", json={"details": {"name": "Desk"}}))["id"]
    return [Api(view, agent) for view in views]


def together(calls: list[Callable[[], T]]) -> list[T]:
    """Return what *calls* return, each on a thread of its own, begun at once."""
    barrier = threading.Barrier(len(calls))
    found: dict[int, T] = {}

    def run(number: int) -> None:
        barrier.wait(60)
        found[number] = calls[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [found[number] for number in range(len(calls))]


def each(apis: list[Api], ask: Callable[[Api], T]) -> list[T]:
    """Return what all the collectors answer, asked at once."""

    def asking(api: Api) -> Callable[[], T]:
        return lambda: ask(api)

    return together([asking(api) for api in apis])


def posted(apis: list[Api], path: str, body: Json = None) -> list[httpx.Response]:
    """Return what all the collectors answer to one request, sent at once."""
    return each(apis, lambda api: api.post(path, body))


def same(answers: list[httpx.Response]) -> dict[str, Json]:
    """Return the one answer that all got."""
    first = details(answers[0])
    assert [details(answer) for answer in answers] == [first] * len(answers)
    return first


def all_spans(store: Store, instance_id: str) -> list[str]:
    """Return the ids of an instance's spans as they are kept."""
    wanted = SpanFilter(agent_instance_id=instance_id)
    with store.reading() as tx:
        return [row.id for row in tx.list_spans(wanted, Page(0, 10_000, "id", False)).rows]  # noqa: FBT003 - the last field of a page


def test_a_key_that_all_send_registers_one_run(apis: list[Api]) -> None:
    """All get the first answer, and the versions are created once."""
    for number in range(ROUNDS):
        body = apis[0].registration(
            idempotency_key=f"register-{number}",
            external_identifier=f"run-{number}",
            agent_version={"external_identifier": f"v{number}"},
            agent_schema_version={"external_identifier": f"s{number}", "span_type_schemas": []},
        )
        same(posted(apis, "/agent_instance/register", body))

    assert apis[0].get("/agent_instance", agent_id=apis[0].agent_id).json()["summaries"]


def test_runs_of_a_new_version_share_it(apis: list[Api], stores: list[Store]) -> None:
    """Different runs, each the first to name the version, the schema version and the place."""
    for number in range(ROUNDS):
        body = apis[0].registration(
            agent_version={"external_identifier": f"v{number}"},
            agent_schema_version={"external_identifier": f"s{number}", "span_type_schemas": []},
        )
        answers = posted(apis, "/agent_instance/register", body)
        made = [details(answer) for answer in answers]
        assert len({one["id"] for one in made}) == COLLECTORS
        with stores[0].reading() as tx:
            rows = tx.runs(None, [one["id"] for one in made]).values()
        assert len({row.agent_version_id for row in rows}) == 1
        assert len({row.agent_schema_version_id for row in rows}) == 1
        assert len({row.agent_deployment_id for row in rows}) == 1


def test_a_name_is_given_once(apis: list[Api]) -> None:
    """One gets it, the others hear that it is taken."""
    for number in range(ROUNDS):
        body = apis[0].registration(external_identifier=f"run-{number}")
        answers = posted(apis, "/agent_instance/register", body)

        assert sorted(answer.status_code for answer in answers) == [200, 422, 422, 422]


@pytest.mark.parametrize("step", ["start", "finish", "terminate"])
def test_a_step_is_taken_once(apis: list[Api], step: str) -> None:
    """With one key all get the first answer; with different keys the others are rejected."""
    bodies = {"terminate": {"reason": "enough"}}
    before = "pending" if step == "start" else "active"
    for number in range(ROUNDS):
        run = apis[0].instance(before)
        keyed = {**bodies.get(step, {}), "idempotency_key": f"{step}-{number}"}
        path = f"/agent_instance/{run['id']}/{step}"
        same(posted(apis, path, keyed))

        other = apis[0].instance(before)
        path = f"/agent_instance/{other['id']}/{step}"
        body = bodies.get(step, {})
        answers = posted(apis, path, body)
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


def span_items(instance_id: str, kind: str) -> list[dict[str, Json]]:
    """Return the items of a bulk request: spans created and finished, under keys of a kind."""
    items: list[dict[str, Json]] = []
    for number in range(10):
        key = ids.new_key(time.time_ns())
        span_id = ids.pfid(key, ids.partition_of(instance_id) or 0)
        name = ids.key_text(key) if kind == "derived" else f"{number}-{ids.key_text(key)[:20]}"
        base = {
            "agent_instance_id": instance_id,
            "schema_name": "desk:answer",
            "status": "active",
            "payload": {},
            "id": span_id,
        }
        if kind == "no id":
            del base["id"]
        items.append(
            {"_type": "agent_spans/create", "idempotency_key": f"c-{name}", "details": base}
        )
        if kind != "no id":
            finish = {"agent_span_id": span_id, "status": "complete"}
            items.append(
                {"_type": "agent_spans/finish", "idempotency_key": f"f-{name}", "details": finish}
            )
    return items


@pytest.mark.parametrize("kind", ["derived", "other", "no id"])
def test_a_bulk_request_that_all_send_is_done_once(
    apis: list[Api], stores: list[Store], kind: str
) -> None:
    """No span twice, no count twice, and all are answered with the same spans."""
    for _ in range(ROUNDS):
        run = apis[0].instance("active")
        items = span_items(run["id"], kind)
        answers = each(apis, partial(all_of, items=items))

        assert answers == [answers[0]] * COLLECTORS
        assert set(answers[0]) == {str(item["idempotency_key"]) for item in items}
        assert len(all_spans(stores[0], run["id"])) == 10
        assert apis[0].shown(run["id"])["span_counts"]["total"] == 10


def test_a_key_used_for_two_runs_at_once_makes_one_span(
    apis: list[Api], stores: list[Store]
) -> None:
    """The first request decides the run; the others are rejected."""
    for number in range(ROUNDS):
        runs = [api.instance("active")["id"] for api in apis]
        key = f"same-{number}"
        answers = together(
            [
                partial(api.post, "/agent_spans", api.span_body(run, idempotency_key=key))
                for api, run in zip(apis, runs, strict=True)
            ]
        )

        assert sorted(answer.status_code for answer in answers) == [200, *[422] * (len(apis) - 1)]
        assert sum(len(all_spans(stores[0], run)) for run in runs) == 1


def test_a_span_ends_once(apis: list[Api]) -> None:
    """It is counted once."""
    run = apis[0].instance("active")
    for number in range(1, ROUNDS + 1):
        span = apis[0].span(run["id"])
        path = f"/agent_spans/{span['id']}/finish"
        answers = posted(apis, path, {})

        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        counts = apis[0].shown(run["id"])["span_counts"]
        assert (counts["complete"], counts["total"]) == (number, number)


def test_one_of_several_answers_counts(apis: list[Api], stores: list[Store]) -> None:
    """The request keeps the other answers."""
    people = [
        World(store).http(create_token(stores[0], "account", may="approve", name=f"p{n}").secret)
        for n, store in enumerate(stores)
    ]
    words = ("approved", "refused", "approved", "refused")
    for number in range(ROUNDS):
        body: dict[str, Json] = {
            "run": "run-1",
            "ticket": f"ticket-{number}",
            "agent": "desk",
            "step": "pay",
        }
        body |= {"words": ["financial_transactions"], "arguments": {}, "time_limit_s": 60}
        path = f"{ASKS}/{details(apis[0].http.post(ASKS, json=body))['id']}"
        answers = together(
            [
                partial(person.post, f"{path}/answer", json={"answer": word, "why": "because"})
                for person, word in zip(people, words, strict=True)
            ]
        )

        counted = [n for n, answer in enumerate(answers) if answer.json()["counted"]]
        assert len(counted) == 1
        shown = details(people[0].get(path))
        first = counted[0]
        assert (shown["status"], shown["answer"]["by"]) == (words[first], f"p{first}")
        late = {answer["by"] for answer in shown["late_answers"]}
        assert late == {f"p{n}" for n in range(COLLECTORS)} - {f"p{first}"}


def test_counts_are_right_whoever_adds(apis: list[Api], stores: list[Store]) -> None:
    """All write into the same runs, in different orders, in bulk."""
    runs = [apis[0].instance("active")["id"] for _ in range(3)]

    def load(api: Api) -> int:
        done = 0
        for number in range(ROUNDS):
            order = runs[number % 3 :] + runs[: number % 3]
            if apis.index(api) % 2:
                order.reverse()
            items = [item for run in order for item in span_items(run, "derived")]
            done += len(all_of(api, items))
        return done

    assert each(apis, load) == [ROUNDS * 60] * COLLECTORS

    for run in runs:
        counts = apis[0].shown(run)["span_counts"]
        assert counts["complete"] == counts["total"] == COLLECTORS * ROUNDS * 10
        assert len(all_spans(stores[0], run)) == COLLECTORS * ROUNDS * 10


def registrations(api: Api, name: str) -> list[dict[str, Json]]:
    """Return the items of 500 registrations of one schema version."""
    return [
        {
            **api.registration(external_identifier=f"run-{name}-{number}"),
            "_type": "agent_instances/register",
            "idempotency_key": f"register-{name}-{number}",
        }
        for number in range(BULK)
    ]


def all_of(api: Api, items: list[dict[str, Json]]) -> dict[str, str]:
    """Have all *items* carried out; return the ids of what was made.

    A collector that has worked for half a second asks for the rest again.
    """
    done: dict[str, str] = {}
    while left := [item for item in items if item["idempotency_key"] not in done]:
        outputs = api.bulk(*left)
        codes = {output["code"] for output in outputs.values() if output["status"] == "error"}
        assert codes <= {"unavailable"}
        done |= {
            key: output["details"]["id"]
            for key, output in outputs.items()
            if output["status"] == "success"
        }
    return done


def test_many_registrations_come_through_beside_many_spans(
    apis: list[Api], stores: list[Store]
) -> None:
    """Bulk requests of 500 each, sent at once and then again: nothing is there twice."""
    runs = [apis[0].instance("active")["id"] for _ in range(BULK // 20)]
    requests = [registrations(apis[0], "a"), registrations(apis[0], "b")]
    requests += [[item for run in runs for item in span_items(run, "derived")] for _ in range(2)]
    assert [len(items) for items in requests] == [BULK] * len(requests)

    def twice(api: Api, items: list[dict[str, Json]]) -> list[dict[str, str]]:
        return [all_of(api, items) for _ in range(2)]

    answers = together(
        [partial(twice, api, items) for api, items in zip(apis, requests, strict=True)]
    )

    assert all(first == again for first, again in answers)
    registered = {made for first, _ in answers[:2] for made in first.values()}
    with stores[0].reading() as tx:
        assert len(tx.runs(None, list(registered))) == 2 * BULK
    for run in runs:
        counts = apis[0].shown(run)["span_counts"]
        assert counts["complete"] == counts["total"] == 2 * 10
        assert len(all_spans(stores[0], run)) == 2 * 10


@pytest.mark.gate
def test_who_waits_for_each_other_comes_through(apis: list[Api]) -> None:
    """Each holds a run and waits for the other's; one of the two transactions is retried."""
    one, two = (apis[0].instance("active")["id"] for _ in range(2))

    def ask(first: str, second: str) -> Callable[[], None]:
        api = apis[0] if first == one else apis[1]
        quality = {"name": "q", "payload": {}}
        items = [
            {
                "_type": "agent_instances/record_quality",
                "idempotency_key": f"item-{uuid4().hex}",
                "agent_instance_id": run,
                **quality,
            }
            for run in [first, second] * 5
        ]

        def until_done() -> None:
            """Repeat what lost four deadlocks in a row, which a busy machine sees."""
            left = items
            while left:
                outputs = api.bulk(*left)
                done = {key for key, output in outputs.items() if output["status"] == "success"}
                codes = {outputs[key]["code"] for key in outputs.keys() - done}
                assert codes <= {"unavailable"}
                # After such an item the answer names no more of them.
                left = [item for item in left if item["idempotency_key"] not in done]

        return until_done

    for _ in range(ROUNDS):
        together([ask(one, two), ask(two, one)])


def test_an_agent_is_deleted_or_runs(apis: list[Api]) -> None:
    """Exactly one of the two requests succeeds."""
    for number in range(ROUNDS):
        made = details(apis[0].post("/agent", {"details": {"name": f"agent {number}"}}))["id"]
        body = {**apis[0].registration(), "agent_id": made}
        deleted, registered = together(
            [
                partial(apis[0].http.delete, f"/api/v1/agent/{made}"),
                partial(apis[1].post, "/agent_instance/register", body),
            ]
        )

        assert (deleted.status_code, registered.status_code) in {(200, 404), (409, 200)}


def test_an_agent_is_retired_once(apis: list[Api]) -> None:
    """The others hear that it is."""
    for number in range(ROUNDS):
        made = details(apis[0].post("/agent", {"details": {"name": f"agent {number}"}}))["id"]
        answers = posted(apis, f"/agent/{made}/retire")

        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        refusal(answers[[answer.status_code for answer in answers].index(409)], 409)
