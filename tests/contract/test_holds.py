"""Holds at the collector: made, listed, lifted, ended; the number that a program gets."""

from __future__ import annotations

from typing import Any, Final

from remit.collector import create_token
from remit.testing import FakeClock
from tests.collecting import Api, World, refusal
from tests.stores import on_each_store

HOLDS: Final = "/api/remit/v1/holds"
MAIL: Final = "external_communication"


def held(api: Api, **fields: Any) -> dict[str, Any]:
    """Make a hold; return it."""
    body = {"actions": [MAIL], "reason": "wrong prices", **fields}
    response = api.http.post(HOLDS, json=body)
    assert response.status_code == 200, response.text
    hold: dict[str, Any] = response.json()["hold"]
    return hold


def listed(api: Api, **query: str) -> dict[str, Any]:
    """Return the list of the holds."""
    response = api.http.get(HOLDS, params=query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def number_of(api: Api) -> int:
    """Return the number that a program gets with an answer."""
    return int(api.http.get("/api/v1/ping").headers["remit-holds"])


@on_each_store
def test_a_hold_is_in_force_until_it_is_lifted(world: World, clock: FakeClock) -> None:
    """Each change makes another number; the list has who, why and when."""
    api = world.account()
    assert (number_of(api), listed(api)["holds"]) == (0, [])
    hold = held(api, agents=["Desk"])
    assert hold["actions"] == [MAIL]
    assert [agent["name"] for agent in hold["agents"]] == ["Desk"]
    assert hold["held_by"].startswith("API, token ")
    assert (hold["reason"], hold["until"], hold["in_force"]) == ("wrong prices", None, True)
    assert number_of(api) == 1
    assert [each["id"] for each in listed(api, in_force="true")["holds"]] == [hold["id"]]

    clock.advance(60)
    lifted = api.http.post(f"{HOLDS}/{hold['id']}/lift", json={}).json()
    assert lifted["hold"]["lifted_by"] == hold["held_by"]
    assert (lifted["number"], number_of(api)) == (2, 2)
    assert listed(api, in_force="true") == {"status": "success", "number": 2, "holds": []}
    (earlier,) = listed(api, counts="true")["holds"]
    assert (earlier["in_force"], earlier["denied"], earlier["runs"]) == (False, 0, 0)
    refusal(api.http.post(f"{HOLDS}/{hold['id']}/lift", json={}), 409)


@on_each_store
def test_a_hold_with_an_end_ends_by_itself(world: World, clock: FakeClock) -> None:
    """The number stays; a program is told the seconds, because its clock may differ."""
    api = world.account()
    hold = held(api, until="2100-01-01T00:00:00Z")
    assert hold["ends_in_s"] > 0
    clock.advance(hold["ends_in_s"] - 1)
    assert listed(api, in_force="true")["holds"][0]["ends_in_s"] == 1
    clock.advance(1)
    assert listed(api, in_force="true") == {"status": "success", "number": 1, "holds": []}
    refusal(api.http.post(f"{HOLDS}/{hold['id']}/lift", json={}), 409)


def test_what_a_hold_must_be(api: Api) -> None:
    """An unknown agent, a past end, no action and no reason are rejected with the field."""
    for field, wrong in (
        ("actions", []),
        ("actions", ["send_mail"]),
        ("agents", ["nobody"]),
        ("reason", "  "),
        ("reason", "x" * 501),
        ("until", "2001-01-01"),
        ("until", "tomorrow"),
    ):
        body = {"actions": [MAIL], "reason": "why", field: wrong}
        response = api.http.post(HOLDS, json=body)
        assert response.status_code == 422
        assert any(name.startswith(field) for name in response.json()["errors"]), response.text
    assert listed(api)["holds"] == []


@on_each_store
def test_a_hold_belongs_to_its_account(world: World) -> None:
    """Another account neither sees nor lifts it, and its number stays."""
    own, foreign = world.account(), world.foreign()
    hold = held(own)
    assert listed(foreign) == {"status": "success", "number": 0, "holds": []}
    assert number_of(foreign) == 0
    refusal(foreign.http.post(f"{HOLDS}/{hold['id']}/lift", json={}), 404)


def test_a_token_of_one_agent_sees_only_its_holds(world: World) -> None:
    """It can make none."""
    owner = world.account()
    owner.http.post("/api/v1/agent", json={"details": {"name": "Other"}})
    held(owner, agents=["Other"])
    everybody = held(owner)
    secret = create_token(world.store, "agent_deployment", agent="desk", clock=world.clock).secret
    bound = Api(world.http(secret))
    assert [each["id"] for each in listed(bound)["holds"]] == [everybody["id"]]
    both = held(owner, agents=["Other", "desk"])
    assert [each["name"] for each in both["agents"]] == ["Other", "desk"]
    newest, _ = listed(bound)["holds"]
    assert [each["name"] for each in newest["agents"]] == ["desk"]
    refusal(bound.http.post(HOLDS, json={"actions": [MAIL], "reason": "why"}), 403)


@on_each_store
def test_a_process_says_which_holds_it_knows(world: World, clock: FakeClock) -> None:
    """The last number of each is kept, with the time at which it came; for a day."""
    api = world.account()

    def say(process: str, number: int) -> None:
        body = {"process": process, "host": "mail-2", "agents": ["shop:desk"], "number": number}
        response = api.http.post(f"{HOLDS}/known", json=body)
        assert response.status_code == 200, response.text

    def known() -> list[tuple[Any, ...]]:
        with world.store.reading() as tx:
            sql = "SELECT id, number, known_at, seen_at FROM hold_processes ORDER BY id"
            return [tuple(row) for row in tx.rows(sql)]

    say("a", 0)
    ((_, _, first_us, _),) = known()
    clock.advance(60)
    say("a", 0)
    say("b", 1)
    assert [row[:2] for row in known()] == [("a", 0), ("b", 1)]
    assert known()[0][2:] == (first_us, first_us + 60_000_000)
    clock.advance(60)
    say("a", 1)
    assert known()[0][1:3] == (1, first_us + 120_000_000)
    clock.advance(25 * 3600)
    say("c", 1)
    assert [row[0] for row in known()] == ["c"]


@on_each_store
def test_a_number_of_holds_beyond_the_range_of_the_database_is_rejected(world: World) -> None:
    """The error names the field."""
    body = {"process": "a", "number": 2**63}
    response = world.account().http.post(f"{HOLDS}/known", json=body)
    assert "number" in refusal(response, 422)["errors"]


@on_each_store
def test_the_steps_that_a_hold_denied_are_counted(world: World) -> None:
    """By its id in the violations of denied steps."""
    api = world.account()
    hold = held(api)
    run = api.instance("active")
    declared = {"sentence": "on hold", "part": "action_profile", "name": MAIL, "word": "allowed"}
    for hold_id in (hold["id"], "another"):
        violation = {**declared, "limit": "held", "hold": hold_id}
        error = {"message": "denied", "violations": [violation]}
        api.span(run["id"], status="failed", result_payload={"error": error})
    (counted,) = listed(api, counts="true")["holds"]
    assert (counted["denied"], counted["runs"]) == (1, 1)
