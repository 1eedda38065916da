"""Requests for a person's approval: who may answer, which answer counts, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import pytest

from remit.collector import Store, create_token
from remit.testing import FakeClock
from tests.collecting import Api, Json, World, details, refusal
from tests.inside_collector import root_id
from tests.stores import on_each_store

ASKS: Final = "/api/remit/v1/asks"
SEALS: Final = "/api/remit/v1/seals"


def asking(**more: Json) -> dict[str, Json]:
    """Return the body of a request for approval."""
    return {
        "run": "run-key-1",
        "ticket": "ticket-1",
        "agent": "shop:desk",
        "step": "shop:refund",
        "words": ["financial_transactions"],
        "arguments": {"order": "1021", "amount": "1240.00", "to": {"$remit": "redacted"}},
        "hidden": {"to": "regex:iban"},
        "unbound": [],
        "time_limit_s": 120,
        **more,
    }


def token(world: World, may: str, name: str, **more: Json) -> Api:
    """Return the view of a token."""
    made = create_token(world.store, "account", may=may, name=name, clock=world.clock, **more)
    return Api(world.http(made.secret))


@pytest.fixture
def program(world: World) -> Api:
    """Return the view of the program's token."""
    return token(world, "record", "program")


@pytest.fixture
def ben(world: World) -> Api:
    """Return the view of a person who may approve."""
    return token(world, "approve", "ben")


def asked(program: Api, **more: Json) -> dict[str, Json]:
    """Return a new request."""
    return details(program.http.post(ASKS, json=asking(**more)))


def answered(person: Api, ask_id: str, answer: str = "approved", why: str | None = None) -> Json:
    """Answer a request; return the response."""
    return person.http.post(f"{ASKS}/{ask_id}/answer", json={"answer": answer, "why": why})


def state(program: Api, ask_id: str) -> dict[str, Json]:
    """Return what the program reads."""
    return details(program.http.get(f"{ASKS}/{ask_id}/answer"))


@on_each_store
def test_the_first_answer_counts_and_a_later_one_is_kept(
    world: World, program: Api, ben: Api
) -> None:
    """The program reads the first answer; the request shows both, and which one counts."""
    eva = token(world, "approve", "eva")
    ask = asked(program)
    assert ask["status"] == "waiting"

    first = answered(ben, ask["id"]).json()
    second = answered(eva, ask["id"], "refused", "not without the receipt").json()

    assert (first["counted"], second["counted"]) == (True, False)
    assert state(program, ask["id"]) == {
        **ask, "status": "approved", "by": "ben", "why": None
    }  # fmt: skip
    shown = details(eva.http.get(f"{ASKS}/{ask['id']}"))
    assert shown["answer"]["by"] == "ben"
    (late,) = shown["late_answers"]
    assert (late["answer"], late["by"], late["why"]) == (
        "refused", "eva", "not without the receipt"
    )  # fmt: skip


@on_each_store
def test_a_request_is_shown_as_the_program_asked(program: Api, ben: Api) -> None:
    """The order of the arguments is that of the program; what is hidden is named with its rule."""
    ask = asked(program)
    listed = ben.http.get(ASKS).json()
    assert listed["waiting"] == 1
    (shown,) = listed["asks"]
    assert shown["id"] == ask["id"]
    assert list(shown["arguments"]) == ["order", "amount", "to"]
    assert shown["hidden"] == {"to": "regex:iban"}
    assert shown["agent"] == {"id": None, "name": "shop:desk"}
    assert shown["words"] == ["financial_transactions"]
    assert shown["run_id"] is None


@on_each_store
def test_a_repeated_request_is_the_same_one(program: Api) -> None:
    """A ticket belongs to one request of a run; one with other arguments is rejected."""
    ask = asked(program)
    assert asked(program) == ask
    assert asked(program, run="run-key-2")["id"] != ask["id"]
    body = asking(arguments={"order": "1021", "amount": "9999.00"})
    assert refusal(program.http.post(ASKS, json=body), 409)["code"] == "invalid_action"


@on_each_store
def test_only_the_servers_clock_ends_a_request(program: Api, ben: Api, clock: FakeClock) -> None:
    """An answer that comes after the time limit is kept and changes nothing."""
    ask = asked(program, time_limit_s=60)
    clock.advance(60)
    late = answered(ben, ask["id"]).json()
    assert late["counted"] is False
    assert late["details"]["status"] == "expired"
    assert state(program, ask["id"])["status"] == "expired"
    assert [each["answer"] for each in late["details"]["late_answers"]] == ["approved"]
    assert ben.http.get(ASKS).json()["waiting"] == 0
    (shown,) = ben.http.get(ASKS, params={"status": "expired"}).json()["asks"]
    assert shown["id"] == ask["id"]


@on_each_store
def test_the_token_that_asked_never_answers(world: World, store: Store) -> None:
    """Neither does a token that was created with it, nor a session of it."""
    both = create_token(store, "account", may="approve,record,write", clock=world.clock)
    own = Api(world.http(both.secret))
    made = own.post(
        "/api_token",
        {"details": {"token_scope": "account", "may": "approve", "name": "child"}},
    ).json()
    child = Api(world.http(made["token"]))
    ask = asked(own)

    for api in (own, child):
        said = refusal(answered(api, ask["id"]), 403)
        assert "records this run" in said["message"]
    assert state(own, ask["id"])["status"] == "waiting"


@on_each_store
@pytest.mark.parametrize("place", ["remit:run", "langchain:agent"])
def test_the_person_of_a_run_never_answers_it(world: World, ben: Api, place: str) -> None:
    """Neither the first time nor later; the program may say it for the run or for its agent."""
    api = world.account()
    kind = {"name": "langchain:agent", "params_schema": {"x-remit-kind": "agent"}}
    schema = {"external_identifier": "s1", "span_type_schemas": [kind]}
    run = str(
        api.instance("active", external_identifier="run-key-1", agent_schema_version=schema)["id"]
    )
    said = {"on_behalf_of": "ben", "subject": "eva"}
    at_root = said if place == "remit:run" else {}
    root = api.span(run, schema_name="remit:run", id=root_id(run), payload=at_root)["id"]
    if not at_root:
        api.span(run, schema_name=place, parent_span_id=root, payload=said)
    program = token(world, "record", "program")
    ask = asked(program, agent="Desk")

    refused = refusal(answered(ben, ask["id"]), 403)
    assert refused["message"] == "the run is on behalf of ben: somebody else has to answer"
    assert state(program, ask["id"])["status"] == "waiting"
    assert answered(token(world, "approve", "eva"), ask["id"]).json()["counted"] is True
    assert answered(ben, ask["id"], "refused", "too late").status_code == 403


@on_each_store
def test_the_person_of_another_run_answers(world: World, ben: Api) -> None:
    """A run of another agent may have the same key."""
    api = world.account()
    other = details(api.http.post("/api/v1/agent", json={"details": {"name": "Other"}}))["id"]
    run = str(api.instance("active", external_identifier="run-key-1")["id"])
    api.span(run, schema_name="remit:run", id=root_id(run), payload={"on_behalf_of": "eva"})
    mine = str(api.instance("active", agent_id=other, external_identifier="run-key-1")["id"])
    api.span(mine, schema_name="remit:run", id=root_id(mine), payload={"on_behalf_of": "ben"})
    api.post(f"/agent_instance/{mine}/finish", {"status": "complete"})
    program = create_token(
        world.store, "agent_deployment", agent="Desk", may="record", clock=world.clock
    )
    ask = asked(Api(world.http(program.secret)), agent="Desk")
    assert answered(ben, ask["id"]).json()["counted"] is True


@on_each_store
def test_a_token_without_the_permission_answers_nothing(
    world: World, program: Api, ben: Api
) -> None:
    """`write` and `erase` do not include `approve`; `approve` alone reads requests only."""
    ask = asked(program)
    for may in ("record", "read", "write", "erase"):
        said = refusal(answered(token(world, may, may), ask["id"]), 403)
        assert "`remit token create --may approve`" in said["message"]
    refusal(ben.http.get("/api/remit/v1/runs"), 403)
    refusal(ben.http.post(ASKS, json=asking(ticket="2")), 403)
    refusal(program.http.get(f"{ASKS}/{ask['id']}"), 403)


def test_a_refusal_needs_a_reason(program: Api, ben: Api) -> None:
    """The model reads it."""
    ask = asked(program)
    for why in (None, "", "  "):
        said = refusal(answered(ben, ask["id"], "refused", why), 422)
        assert list(said["errors"]) == ["why"]
    assert answered(ben, ask["id"], "refused", "no receipt").json()["counted"] is True
    assert state(program, ask["id"])["why"] == "no receipt"


@on_each_store
def test_the_end_of_an_id_names_a_request(world: World, program: Api, ben: Api) -> None:
    """In the API, and no request that the caller does not see."""
    ask_id = asked(program)["id"]
    assert details(ben.http.get(f"{ASKS}/{ask_id[-8:]}"))["id"] == ask_id
    assert world.foreign().http.get(f"{ASKS}/{ask_id[-8:]}").status_code == 404
    assert answered(ben, ask_id[-8:]).json()["counted"] is True
    assert answered(ben, ask_id[-8:]).json()["counted"] is False
    assert state(program, ask_id[-8:])["status"] == "approved"


@on_each_store
def test_an_answer_to_another_request_changes_this_one_not(program: Api, ben: Api) -> None:
    """Two requests of one run have an answer each."""
    one, other = asked(program), asked(program, ticket="ticket-2")
    answered(ben, other["id"])
    assert state(program, one["id"])["status"] == "waiting"
    assert state(program, other["id"])["ticket"] == "ticket-2"


@on_each_store
def test_the_program_withdraws_a_request(program: Api, ben: Api) -> None:
    """A withdrawal after the answer changes nothing."""
    one, other = asked(program), asked(program, ticket="ticket-2")
    answered(ben, other["id"])
    statuses = [
        details(program.http.post(f"{ASKS}/{ask['id']}/withdraw"))["status"] for ask in (one, other)
    ]
    assert statuses == ["withdrawn", "approved"]
    assert answered(ben, one["id"]).json()["counted"] is False


@on_each_store
def test_the_end_of_a_run_leaves_an_expired_request(
    world: World, program: Api, ben: Api, clock: FakeClock
) -> None:
    """It has ended before, without an answer."""
    owner = world.account()
    run = owner.instance("active", external_identifier="run-key-1")
    ask = asked(program, time_limit_s=60)
    clock.advance(60)
    details(owner.post(f"/agent_instance/{run['id']}/finish", {"status": "complete"}))
    assert details(ben.http.get(f"{ASKS}/{ask['id']}"))["status"] == "expired"


@on_each_store
@pytest.mark.parametrize("status", ["terminated", "failed", "complete"])
def test_the_end_of_a_run_withdraws_what_waits_in_it(
    world: World, program: Api, ben: Api, status: str
) -> None:
    """Whoever ends it: a person, its program, or the next process that adopts it."""
    owner = world.account()
    run = owner.instance("active", external_identifier="run-key-1")
    other = owner.instance("active", external_identifier="run-key-2")
    ask, kept = asked(program), asked(program, run="run-key-2")
    path = f"/agent_instance/{run['id']}"
    if status == "terminated":
        details(owner.post(f"{path}/terminate", {"reason": "enough"}))
    else:
        details(owner.post(f"{path}/finish", {"status": status}))

    shown = details(ben.http.get(f"{ASKS}/{ask['id']}"))
    assert (shown["status"], shown["run_id"]) == ("withdrawn", run["id"])
    assert status in shown["why"]
    assert shown["agent"]["id"] == run["agent_id"]
    assert answered(ben, ask["id"]).json()["counted"] is False
    assert details(ben.http.get(f"{ASKS}/{kept['id']}"))["run_id"] == other["id"]
    assert refusal(program.http.post(ASKS, json=asking(ticket="3")), 409)


@on_each_store
def test_a_seal_is_used_once(program: Api) -> None:
    """A repetition of the same use succeeds; a second use does not."""
    use = {"seal": "ask-1", "use": "nonce-1"}
    first = program.http.post(SEALS, json=use)
    assert first.status_code == 200
    assert program.http.post(SEALS, json=use).json() == first.json()
    said = refusal(program.http.post(SEALS, json={**use, "use": "nonce-2"}), 409)
    assert said["code"] == "seal_used"


@on_each_store
def test_a_deployments_token_sees_its_own_requests(world: World, ben: Api) -> None:
    """Neither those of another agent, nor may it answer them."""
    made = create_token(world.store, "agent_deployment", agent="desk", clock=world.clock)
    other = create_token(
        world.store, "agent_deployment", agent="other", may="approve,read", clock=world.clock
    )
    ask = asked(Api(world.http(made.secret)))
    stranger = Api(world.http(other.secret))
    assert stranger.http.get(ASKS).json()["asks"] == []
    refusal(stranger.http.get(f"{ASKS}/{ask['id']}"), 404)
    refusal(answered(stranger, ask["id"]), 404)
    assert len(ben.http.get(ASKS).json()["asks"]) == 1


@on_each_store
def test_a_request_that_comes_before_its_agent_gets_its_agent(
    world: World, program: Api, ben: Api
) -> None:
    """The first step of a new program may ask before the program is registered."""
    ask = asked(program)
    shown = details(ben.http.get(f"{ASKS}/{ask['id']}"))
    assert shown["agent"] == {"id": None, "name": "shop:desk"}
    body = {"details": {"name": "Desk", "external_identifier": "shop:desk"}}
    agent = details(world.account().http.post("/api/v1/agent", json=body))
    shown = details(ben.http.get(f"{ASKS}/{ask['id']}"))
    assert shown["agent"] == {"id": agent["id"], "name": "Desk"}
    bound = create_token(
        world.store, "agent_deployment", agent="shop:desk", may="approve", clock=world.clock
    )
    assert answered(Api(world.http(bound.secret)), ask["id"]).json()["counted"] is True


@on_each_store
def test_a_request_that_comes_before_its_run_has_its_environment(
    world: World, program: Api
) -> None:
    """A token for an agent in an environment sees it, in an account with several ones too."""
    admin = world.account()
    body = {"details": {"name": "Desk", "external_identifier": "shop:desk"}}
    admin.agent_id = details(admin.post("/agent", body))["id"]
    here = admin.shown(admin.instance()["id"])["environment_id"]
    staging = details(admin.post("/environment", {"details": {"name": "staging"}}))["id"]
    asked(program, run="early")
    asked(program, run="staged", environment_id=staging)
    for environment_id, run in ((here, "early"), (staging, "staged")):
        deployed, _ = world.deployed(admin, environment_id)
        assert [ask["run"] for ask in deployed.http.get(ASKS).json()["asks"]] == [run]


@on_each_store
def test_asked_values_are_erased_with_their_run(
    world: World, program: Api, ben: Api, clock: FakeClock
) -> None:
    """The request stays, without its values, their digests and the reason."""
    owner = world.account()
    run = owner.instance("active", external_identifier="run-key-1")
    ask = asked(program, seal="d" * 64)
    answered(ben, ask["id"], "refused", "canary")
    answered(ben, ask["id"], "refused", "canary")
    eraser = token(world, "erase", "eraser")
    body = {"run_id": run["id"], "reason": "asked"}
    assert eraser.http.post("/api/remit/v1/erasures", json=body).status_code == 200
    shown = ben.http.get(f"{ASKS}/{ask['id']}")
    assert "canary" not in shown.text
    assert "1240.00" not in shown.text
    assert shown.json()["details"]["seal"] is None
    with world.store.reading() as tx:
        assert list(tx.rows("SELECT body_hash FROM asks", ())) == [("",)]

    clock.advance(timedelta(days=2).total_seconds())
    world.store.retain(clock.wall_ns() // 1000)
    refusal(ben.http.get(f"{ASKS}/{ask['id']}"), 404)


def test_a_repeated_answer_keeps_no_values_of_an_erased_run(
    world: World, program: Api, ben: Api
) -> None:
    """An answer that is repeated with its idempotency key returns the current request."""
    run = world.account().instance("active", external_identifier="run-key-1")
    ask = asked(program)
    address = f"{ASKS}/{ask['id']}/answer"
    body = {"answer": "approved", "why": None, "idempotency_key": "click-1"}
    first = ben.http.post(address, json=body)
    again = ben.http.post(address, json=body)
    assert first.json() == again.json()
    assert first.json()["counted"] is True
    late = {**body, "answer": "refused", "why": "too late", "idempotency_key": "click-2"}
    assert ben.http.post(address, json=late).json()["counted"] is False
    assert ben.http.post(address, json=late).json()["counted"] is False
    eraser = token(world, "erase", "eraser")
    erasure = {"run_id": run["id"], "reason": "asked"}
    assert eraser.http.post("/api/remit/v1/erasures", json=erasure).status_code == 200
    assert "1240.00" not in ben.http.post(address, json=body).text
    with world.store.reading() as tx:
        responses = list(tx.rows("SELECT response FROM idempotency_keys", ()))
    assert "1240.00" not in str(responses)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("words", ["anything"]),
        ("words", []),
        ("time_limit_s", 0),
        ("time_limit_s", 1e9),
        ("ticket", ""),
        ("ticket", "x" * 201),
        ("after", "013xrzp12g3nqk8nzzzzzzzzzzzzzzzz"),
    ],
)
def test_a_request_that_is_not_valid_is_rejected(program: Api, field: str, value: Json) -> None:
    """Each field is named."""
    said = refusal(program.http.post(ASKS, json=asking(**{field: value})), 422)
    assert list(said["errors"]) == [field]


def test_long_arguments_are_rejected(program: Api) -> None:
    """Beyond 256 KiB."""
    body = asking(arguments={"text": "x" * 300_000})
    assert refusal(program.http.post(ASKS, json=body), 413)
