"""The page of holds: the form, the line on every page, a run that a hold touched."""

from __future__ import annotations

import re
from html import unescape
from typing import Any, Final

from starlette.types import ASGIApp

from remit.collector import Store, create_token
from remit.testing import FakeClock
from tests.collecting import Api, World
from tests.inside import httpx
from tests.inside_collector import create_app
from tests.signing_in import SAME_SITE, sign_in, stranger
from tests.stores import on_each_store

MAIL: Final = "external_communication"


def types() -> list[dict[str, Any]]:
    """Return the declaration of an agent with three steps."""

    def declared(word: str) -> dict[str, Any]:
        parts: dict[str, Any] = {"params_data_categories": {}, "result_data_categories": {}}
        return {"action_profile": {MAIL: word}, **parts}

    return [
        {"name": "main:desk", "title": "Desk", "params_schema": {"x-remit-owner": "ada"}},
        {"name": "main:mail", "params_schema": {}, "data_risk": declared("allowed")},
        {"name": "main:read", "params_schema": {}, "data_risk": declared("disallowed")},
        {"name": "main:other", "params_schema": {}},
    ]


def run_of(api: Api) -> dict[str, Any]:
    """Register a run of the agent and start it."""
    body = {
        "agent_id": api.agent_id,
        "agent_version": {"external_identifier": "1"},
        "agent_schema_version": {"external_identifier": "s1", "span_type_schemas": types()},
    }
    run = api.http.post("/api/v1/agent_instance/register", json=body).json()["details"]
    api.http.post(f"/api/v1/agent_instance/{run['id']}/start", json={})
    details: dict[str, Any] = run
    return details


def page(world: World) -> ASGIApp:
    """Return the collector with the page."""
    return create_app(world.store, clock=world.clock, page_hosts=())


def reader(world: World, may: str = "write") -> httpx.Client:
    """Return a person with a session of a token."""
    http = stranger(page(world))
    made = create_token(world.store, "account", name="ada", may=may, clock=world.clock)
    sign_in(http, made.secret)
    return http


@on_each_store
def test_a_person_holds_and_lifts(world: World) -> None:
    """The form says how many steps each action denies; the line is on every other page."""
    api = world.account()
    run = run_of(api)
    http = reader(world)
    form = http.get("/hold").text
    assert "Nothing is on hold" in form
    assert "<span>as <bdi>web UI, session of token ada</bdi></span>" in form
    assert 'href="/agents" aria-current="page"' in form
    assert "something is sent: 2 steps, 1 undeclared" in form
    assert "money moves: 3 steps, 3 undeclared" in form

    sent = {MAIL: "1", "agent": "Desk", "reason": "wrong <b>prices</b>", "until": "2h"}
    made = http.post("/hold", data=sent, headers=SAME_SITE)
    assert (made.status_code, made.headers["location"]) == (303, "/hold")
    shown = http.get("/hold").text
    assert "External communication is on hold" in shown
    assert "wrong &lt;b&gt;prices&lt;/b&gt;" in shown
    assert "web UI, session of token ada" in shown
    assert 'class="hold"' not in shown
    for path in ("/runs", "/agents", f"/agents/{api.agent_id}", f"/runs/{run['id']}", "/help"):
        assert 'aria-label="Hold in force"' in http.get(path).text
    assert "for this agent" in http.get(f"/agents/{api.agent_id}").text

    (hold,) = api.http.get("/api/remit/v1/holds").json()["holds"]
    lifted = http.post(f"/hold/{hold['id']}/lift", data={"lift": "1"}, headers=SAME_SITE)
    assert lifted.status_code == 303
    assert 'class="hold"' not in http.get("/runs").text
    earlier = http.get("/hold").text
    assert "Nothing is on hold" in earlier
    assert "lifted by" in earlier


def test_what_is_wrong_is_said_at_its_field(world: World) -> None:
    """And what was entered stays."""
    run_of(world.account())
    http = reader(world)
    for field, entered in (("agents", {"agent": "Nobody"}), ("until", {"until": "soon"})):
        sent = {MAIL: "1", "reason": "wrong prices", **entered}
        answer = http.post("/hold", data=sent, headers=SAME_SITE)
        assert answer.status_code == 422
        assert f'id="wrong-{field}"' in answer.text
        assert "wrong prices" in answer.text
    none = http.post("/hold", data={"reason": "why"}, headers=SAME_SITE)
    assert 'id="wrong-actions"' in none.text
    assert "choose at least one action" in none.text


def test_who_may_not_stop_sees_no_form(world: World) -> None:
    """And a form of another site, or of a session that may not, does nothing."""
    api = world.account()
    run_of(api)
    http = reader(world, "read")
    assert '<form class="holdform"' not in http.get("/hold").text
    sent = {MAIL: "1", "reason": "why"}
    assert http.post("/hold", data=sent, headers=SAME_SITE).status_code == 403
    assert reader(world).post("/hold", data=sent).status_code == 403
    assert reader(world, "read,stop").post("/hold", data=sent, headers=SAME_SITE).status_code == 303
    assert "Hold something else" not in http.get("/hold").text


@on_each_store
def test_a_run_says_that_a_hold_denied_a_step(world: World) -> None:
    """Its notice, the panel of the step, and the list of denied steps."""
    api = world.account()
    run = run_of(api)
    violation = {
        "sentence": f"{MAIL}: hold 01h denies main:mail, which declares it (held by ada)",
        "part": "action_profile",
        "name": MAIL,
        "word": "allowed",
        "limit": "held",
        "hold": "01h",
        "held_by": "ada",
        "reason": "wrong prices",
    }
    error = {"type": "DeniedError", "message": "denied", "violations": [violation]}
    span = api.span(
        run["id"], schema_name="main:mail", status="failed", result_payload={"error": error}
    )
    http = reader(world)
    shown = http.get(f"/runs/{run['id']}?span={span['id']}").text
    assert "A hold denied 1 step:" in shown
    assert "External communication is on hold. The step declares that it does this." in shown
    assert "“<bdi>wrong prices</bdi>”" in shown
    assert "denied by a hold on external communication" in http.get("/denied?from=all").text
    mark = '<span class="m held" title="denied by a hold">'
    assert shown.count(mark) == 1
    assert '<span class="m denied"' not in shown
    outline = http.get(f"/runs/{run['id']}/outline").json()
    assert outline["held"] == [outline["ids"]]


@on_each_store
def test_a_list_of_runs_tells_holds_from_declarations(world: World) -> None:
    """A run with both has both marks, each with its number."""
    api = world.account()
    both, free = run_of(api), run_of(api)
    error: dict[str, Any] = {"type": "DeniedError", "message": "denied"}
    declared = {"part": "action_profile", "name": MAIL, "word": "allowed"}
    hold = {**declared, "sentence": "it is on hold", "limit": "held", "hold": "01h"}
    never = {**declared, "sentence": "never: hold 01h denies it", "limit": "disallowed"}
    for violation in (hold, hold, never):
        body = {"error": {**error, "violations": [violation]}}
        api.span(both["id"], schema_name="main:mail", status="failed", result_payload=body)
    api.span(free["id"], schema_name="main:mail")
    html = reader(world).get("/runs?from=all").text
    assert html.count('class="m held"') == 1
    assert '<span class="m held" title="2 denied by a hold">' in html
    assert '<span class="m denied" title="1 denied">' in html
    assert "denied: 3 steps" in html
    held = run_of(api)
    error["violations"] = [hold]
    body = {"error": error}
    api.span(held["id"], schema_name="main:mail", status="failed", result_payload=body)
    assert "denied by a hold: 1 step" in reader(world).get("/runs?from=all").text


@on_each_store
def test_the_page_says_which_programs_know(world: World, clock: FakeClock) -> None:
    """Those that have the number, and those that were heard before."""
    api = world.account()
    run_of(api)
    known = {"host": "mail-2", "agents": ["shop:desk"]}
    for process, number in (("a", 0), ("b", 1)):
        if process == "b":
            api.http.post("/api/remit/v1/holds", json={"actions": [MAIL], "reason": "wrong prices"})
            clock.advance(30)
        body = {"process": process, "number": number, **known}
        assert api.http.post("/api/remit/v1/holds/known", json=body).status_code == 200
    shown = reader(world).get("/hold").text
    assert "Known to 1 program since" in shown
    assert "may not know" in shown
    assert "mail-2" in shown
    assert "2 reported in the last minute" in shown


@on_each_store
def test_the_form_names_the_programs_that_are_silent(world: World, clock: FakeClock) -> None:
    """At most three of them, the last heard first; the others are counted."""
    api = world.account()
    run_of(api)
    for number in range(5):
        agents = ["<b>desk</b>"] if number else []
        known = {
            "process": f"p{number}",
            "number": 0,
            "host": f"<i>h{number}</i>",
            "agents": agents,
        }
        assert api.http.post("/api/remit/v1/holds/known", json=known).status_code == 200
        clock.advance(600)
    html = reader(world).get("/hold").text
    text = " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())
    assert "0 reported in the last minute" in text
    named = ", ".join(f"<b>desk</b> on <i>h{n}</i> (last heard 0:00)" for n in (4, 3, 2))
    untimed = re.sub(r"\d+ \w+ \d\d:\d\d\b", "0:00", text)
    assert f"5 of the last 24 hours: {named} and 2 more" in untimed
    assert "<b>desk" not in html
    api.http.post("/api/remit/v1/holds", json={"actions": [MAIL], "reason": "wrong prices"})
    text = " ".join(unescape(re.sub(r"<[^>]+>", "", reader(world).get("/hold").text)).split())
    assert "may not know. 2 more programs may not know." in text


@on_each_store
def test_the_panel_of_a_held_step_says_what_is_known_of_the_hold(world: World) -> None:
    """Until when it is in force, as the server knows it, and what the model was told."""
    api = world.account()
    run = run_of(api)
    lines = {}
    for until in ("2099-01-31T18:00:00Z", None):
        body = {"actions": [MAIL], "reason": "wrong <b>prices</b>", "until": until}
        hold = api.http.post("/api/remit/v1/holds", json=body).json()["hold"]
        span = _held_span(api, run["id"], hold["id"])
        lines[until] = reader(world).get(f"/runs/{run['id']}?span={span}").text
    timed, endless = lines.values()
    assert "<span>by a hold</span>" in timed
    assert re.search(r"<dt>until</dt><dd><time [^>]*>31 Jan 18:00</time>", timed)
    assert "<dt>where</dt><dd>every agent</dd><dt>until</dt><dd>it is lifted</dd>" in endless
    assert re.search(r"<dd><bdi>ada &lt;b&gt;</bdi>, <time ", endless)
    assert "wrong &lt;b&gt;prices" in endless
    assert "<bdi>Policy denied this step and it did not run: &lt;i&gt;on hold</bdi>" in endless
    assert "Traceback" not in endless
    api.http.post(f"/api/remit/v1/holds/{hold['id']}/lift", json={}).raise_for_status()
    lifted = reader(world).get(f"/runs/{run['id']}?span={span}").text
    assert re.search(r"<dt>lifted</dt><dd><time ", lifted)
    assert "<dt>until" not in lifted


def _held_span(api: Api, run_id: str, hold_id: str) -> str:
    """Return a step that a hold denied."""
    violation = {
        "sentence": f"{MAIL}: hold {hold_id} denies main:mail, which declares it (held by ada)",
        "part": "action_profile",
        "name": MAIL,
        "word": "allowed",
        "limit": "held",
        "hold": hold_id,
        "held_by": "ada <b>",
        "reason": "wrong <b>prices</b>",
    }
    message = "Traceback. Policy denied this step and it did not run: <i>on hold"
    error = {"type": "DeniedError", "message": message, "violations": [violation]}
    body = {"status": "failed", "result_payload": {"error": error}}
    return str(api.span(run_id, schema_name="main:mail", **body)["id"])


def test_nobody_sees_holds_without_a_session(world: World, store: Store) -> None:
    """The page sends to the sign-in."""
    del store
    assert stranger(page(world)).get("/hold").headers["location"].startswith("/sign-in")
