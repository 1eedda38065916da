"""Erasing over the API: who may, what goes, and what is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from remit.collector import Store, create_token
from remit.testing import FakeClock
from tests.collecting import NOBODY, Api, Json, World, details, refusal
from tests.inside import httpx
from tests.inside_collector import AskedFor, StoreUnavailableError, erase
from tests.stores import on_each_store
from tests.subtests import each

CANARY: Final = "canary-4711"
PATH: Final = "/api/remit/v1/erasures"
WHY: Final = "a request of 12 May"


def eraser(world: World, scope: str = "account", agent: str = "desk") -> Api:
    """Return the view of a token that may erase."""
    made = create_token(
        world.store, scope, agent=agent, name="desk-47", may="erase", clock=world.clock
    )
    return Api(world.http(made.secret))


def run_about(api: Api, subject: str, **more: Json) -> str:
    """Return the id of a run about somebody, with two payloads."""
    run = api.instance("active", **more)
    payload = {"subject": subject, "labels": {"to": CANARY}}
    api.span(run["id"], schema_name="remit:run", payload=payload)
    api.span(run["id"], payload={"question": CANARY})
    return str(run["id"])


def erased(api: Api, **body: Json) -> httpx.Response:
    """Erase something."""
    return api.http.post(PATH, json={"reason": WHY, **body})


def counts(response: httpx.Response) -> tuple[int, int]:
    """Return the numbers of runs and of spans."""
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["status"] == "success"
    return answer["runs"], answer["spans"]


def records(api: Api, run_id: str) -> list[dict[str, Json]]:
    """Return the erasures of a run."""
    response = api.http.get(PATH, params={"run_id": run_id})
    assert response.status_code == 200, response.text
    found: list[dict[str, Json]] = response.json()["erasures"]
    return found


def payloads(api: Api, *runs: str) -> list[bool]:
    """Return whether each run still holds what was recorded."""
    return [CANARY in json.dumps(api.spans(run)) for run in runs]


@on_each_store
def test_a_run_an_agents_runs_and_those_about_somebody_are_erased(world: World) -> None:
    """Exactly these; the numbers are answered."""
    api, owner = eraser(world), world.account()
    other = details(owner.post("/agent", {"details": {"name": "Other"}}))["id"]
    ann, bob, third = (run_about(owner, name) for name in ("ann", "bob", "ann"))
    foreign = run_about(owner, "carl", agent_id=other)

    assert counts(erased(api, run_id=bob)) == (1, 2)
    assert payloads(owner, ann, bob, third, foreign) == [True, False, True, True]
    assert counts(erased(api, subject="ann")) == (2, 4)
    assert payloads(owner, ann, bob, third, foreign) == [False, False, False, True]
    assert counts(erased(api, agent_id=other)) == (1, 2)
    assert payloads(owner, foreign) == [False]
    assert counts(erased(api, subject="ann")) == (0, 0)


@on_each_store
def test_an_erasure_is_shown_wherever_the_run_is_read(world: World, clock: FakeClock) -> None:
    """In its detail, in the list that only remit has, and with the name of the token."""
    api, owner = eraser(world), world.account()
    run, other = run_about(owner, "ann"), run_about(owner, "bob")
    clock.advance(60)
    erased(api, run_id=run)

    (record,) = records(owner, run)
    at = record["inserted_at"]
    named = ("agent_instance_id", "asked_for", "reason", "erased_by", "spans", "responses")
    assert [record[name] for name in named] == [run, "run", WHY, "desk-47", 2, 0]
    assert owner.shown(run)["erased_at"] == at
    assert owner.shown(other)["erased_at"] is None
    assert records(owner, other) == []
    listed = owner.http.get("/api/remit/v1/runs").json()["runs"]
    assert {each["id"]: each["erased_at"] for each in listed} == {run: at, other: None}


@on_each_store
def test_the_command_and_the_endpoint_record_alike(
    world: World, store: Store, clock: FakeClock
) -> None:
    """Each erasure has a record; a second one of the same run erases nothing."""
    api, owner = eraser(world), world.account()
    run = run_about(owner, "ann")
    erased(api, subject="ann")
    clock.advance(1)
    erase(store, [run], AskedFor.RUN, reason=WHY, erased_by="ann", clock=world.clock)

    first, second = records(owner, run)

    assert first.keys() == second.keys()
    assert (first["asked_for"], second["asked_for"]) == ("subject", "run")
    assert (first["spans"], second["spans"]) == (2, 0)


@on_each_store
def test_a_record_stays_when_the_run_is_gone(world: World, store: Store, clock: FakeClock) -> None:
    """Because of its age; a deployment's token is not shown it, as nothing says whose it was."""
    api, owner = eraser(world), world.account()
    run = run_about(owner, "ann")
    details(owner.post(f"/agent_instance/{run}/finish", {}))
    erased(api, run_id=run)
    clock.advance(3600 * 24 * 400)
    store.retain(clock.wall_ns() // 1000)

    assert owner.get(f"/agent_instance/{run}").status_code == 404
    assert len(records(owner, run)) == 1
    program = eraser(world, "agent_deployment")
    refusal(program.http.get(PATH, params={"run_id": run}), 404)


@on_each_store
def test_a_programs_token_erases_its_own_runs_only(world: World) -> None:
    """Those of its agent in its environment; others do not exist for it."""
    owner, program = world.account(), eraser(world, "agent_deployment")
    other = run_about(owner, "ann")
    own, second = run_about(program, "ann"), run_about(program, "bob")
    agent_id = program.shown(own)["agent_id"]
    staging = details(owner.post("/environment", {"details": {"name": "staging"}}))["id"]
    elsewhere = run_about(Api(owner.http, agent_id), "ann", environment_id=staging)

    refusal(erased(program, run_id=other), 404)
    refusal(erased(program, run_id=elsewhere), 404)
    refusal(erased(program, agent_id=owner.agent_id), 403)
    assert counts(erased(program, subject="ann")) == (1, 2)
    assert payloads(owner, other, own, elsewhere, second) == [True, False, True, True]
    assert counts(erased(program, agent_id=agent_id)) == (2, 2)
    assert payloads(owner, other, own, elsewhere, second) == [True, False, True, False]
    refusal(program.http.get(PATH, params={"run_id": other}), 404)


@on_each_store
def test_no_account_erases_another_ones_runs(world: World, store: Store) -> None:
    """Not by a run, an agent or a subject."""
    api, foreign = eraser(world), world.foreign()
    run = run_about(foreign, "ann")

    refusal(erased(api, run_id=run), 404)
    refusal(erased(api, agent_id=foreign.agent_id), 404)
    assert counts(erased(api, subject="ann")) == (0, 0)
    refusal(api.http.get(PATH, params={"run_id": run}), 404)
    assert payloads(foreign, run) == [True]
    erase(store, [run], AskedFor.RUN, reason=WHY, erased_by="ann")
    refusal(api.http.get(PATH, params={"run_id": run}), 404)


@each("may", ["read", "write"])
def test_a_token_that_may_not_erase_is_refused(world: World, may: str) -> None:
    """The error says how to get one that may; it may read the records."""
    owner = world.account()
    run = run_about(owner, "ann")
    api = Api(world.http(create_token(world.store, "account", may=may, clock=world.clock).secret))

    said = refusal(erased(api, run_id=run), 403)

    assert "`remit token create --may erase`" in said["message"]
    assert payloads(owner, run) == [True]
    assert records(api, run) == []


@each(
    ("body", "status", "fields"),
    [
        ({}, 422, {"run_id", "agent_id", "subject", "on_behalf_of"}),
        (
            {"run_id": NOBODY, "subject": "ann"},
            422,
            {"run_id", "agent_id", "subject", "on_behalf_of"},
        ),
        ({"subject": 5}, 422, {"subject"}),
        ({"subject": "ann", "reason": " "}, 422, {"reason"}),
        ({"subject": "ann", "reason": None}, 422, {"reason"}),
        ({"subject": "ann", "reason": "nul\x00"}, 422, {"reason"}),
        ({"run_id": NOBODY}, 404, set()),
        ({"run_id": "x"}, 404, set()),
        ({"agent_id": NOBODY}, 404, set()),
    ],
)
def test_what_cannot_be_meant_is_refused(
    world: World, body: dict[str, Json], status: int, fields: set[str]
) -> None:
    """The error names the fields."""
    said = refusal(erased(eraser(world), **body), status)
    assert set(said.get("errors") or {}) == fields


def test_a_list_needs_a_run(world: World) -> None:
    """There is no list of all."""
    said = refusal(world.account().http.get(PATH), 422)
    assert list(said["errors"]) == ["run_id"]


@on_each_store
def test_more_than_a_request_can_erase_is_refused(world: World, store: Store) -> None:
    """The error names the command that can; a thousand runs are erased."""
    api, owner = eraser(world), world.account()
    items = [
        {"_type": "agent_instances/register", **owner.registration(external_identifier=str(number))}
        for number in range(1001)
    ]
    for begin in (0, 500, 1000):
        owner.bulk(*items[begin : begin + 500])

    said = refusal(erased(api, agent_id=owner.agent_id), 413)
    assert "`remit db erase`" in said["message"]
    with store.reading() as tx:
        ids = tx.runs_of_agent(str(owner.agent_id))
        assert not tx.erasures(ids[0])
    assert counts(erased(Api(api.http), run_id=ids[0])) == (1, 0)


@on_each_store
def test_nothing_is_left_when_the_database_is_maintained(world: World, store: Store) -> None:
    """A server does that every second; readers and writers go on."""
    api, owner = eraser(world), world.account()
    run = run_about(owner, "ann")
    assert CANARY in left_in(store)

    counts(erased(api, run_id=run))
    store.maintain()

    assert CANARY not in left_in(store)


def left_in(store: Store) -> str:
    """Return what a store holds of payloads: its files, or its rows."""
    if "://" in store.path:
        with store.reading() as tx:
            return str(list(tx.rows("SELECT payload, result FROM span_payloads")))
    files = Path(store.path).parent.glob(Path(store.path).name + "*")
    return b"".join(file.read_bytes() for file in files).decode("latin-1")


def test_a_reader_of_an_older_state_delays_it(world: World, store: Store) -> None:
    """The next maintenance after it tries again."""
    api, owner = eraser(world), world.account()
    run = run_about(owner, "ann")
    with store.reading() as tx:
        assert tx.erasures(run) == []
        counts(erased(api, run_id=run))
        store.maintain()
        assert CANARY in left_in(store)

    store.maintain()

    assert CANARY not in left_in(store)


def test_a_database_that_is_gone_is_not_erased(
    world: World, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503: the request can be repeated."""
    api, owner = eraser(world), world.account()
    run = run_about(owner, "ann")

    def gone() -> None:
        raise StoreUnavailableError("gone")

    monkeypatch.setattr(store, "writing", gone)
    refusal(erased(api, run_id=run), 503)
    monkeypatch.undo()
    assert counts(erased(api, run_id=run)) == (1, 2)
