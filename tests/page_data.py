"""A collector with something on every screen of the page, and the addresses of the screens."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from remit.collector import create_token, list_tokens
from tests import run_pages
from tests.collecting import Api, World, details
from tests.conversing import complete_and_failed, conversation
from tests.waterfalls import Step, begun, ended, record

SCREENS: Final = (
    "/sign-in",
    "/runs?more=1",
    "/runs?order=longest",
    "/runs?purpose=eval",
    "/runs/{failed}",
    "/runs/{framed}",
    "/runs/{grouped}",
    "/runs/{refused}",
    "/runs/{ended_process}",
    "/runs/{running}",
    "/runs/{running}/terminate",
    "/runs/{terminated}",
    "/runs/{erased}",
    "/runs/{night}",
    "/runs/{failed}/print",
    "/runs/{confidential}/spans/{step}",
    "/runs/{confidential}/spans/{step}/values",
    "/runs/{conversation}/spans/{call}/read",
    "/runs/compare",
    "/runs/compare?a={older}&b={newer}",
    "/agents",
    "/agents/{agent}",
    "/agents/{agent}?view=happened",
    "/agents/{agent}?view=versions",
    "/map",
    "/refused",
    "/register",
    "/account",
    "/account/tokens/{token}/revoke",
    "/help",
)
"""Addresses of all screens and of their states; the names are the keys of `places_of`."""


def places_of(world: World, api: Api) -> dict[str, str]:
    """Fill a collector; return the ids that the addresses of the screens name."""
    talk, calls = conversation(api)
    older, newer = complete_and_failed(api)
    confidential, step = run_pages.confidential(api, {"note": "a private word"})
    return {
        "agent": api.agent_id or "",
        "failed": run_pages.failed(api),
        "framed": _framed(api),
        "grouped": run_pages.grouped(api),
        "refused": run_pages.refused(api),
        "ended_process": run_pages.ended_process(api),
        "running": run_pages.running(api),
        "terminated": _terminated(api),
        "erased": erased(world, api),
        "night": _night(api),
        "confidential": confidential,
        "step": step,
        "conversation": talk,
        "call": calls[-1],
        "older": older,
        "newer": newer,
        "token": list_tokens(world.store)[0].id,
    }


def erased(world: World, api: Api) -> str:
    """Return a run whose values were erased."""
    run = run_pages.failed(api)
    store, clock = world.store, world.clock
    token = create_token(store, "account", may="erase", name="privacy-office", clock=clock)
    body = {"run_id": run, "reason": "article 17"}
    answer = world.http(token.secret).post("/api/remit/v1/erasures", json=body)
    assert answer.status_code == HTTPStatus.OK, answer.text
    return run


def _terminated(api: Api) -> str:
    run = run_pages.running(api)
    details(api.post(f"/agent_instance/{run}/terminate", {"reason": "enough"}))
    return run


def _framed(api: Api) -> str:
    """Return a run that failed in functions with long names."""
    names = ("find_customer", "find_customer_by_the_address_of_electronic_mail")
    file = "packages/support_desk/customers.py"
    frames = [{"file": file, "line": 1043, "function": name} for name in names]
    error = run_pages.error("no such customer", frames=frames)
    story = run_pages.Story(api)
    step = story.begin("shop.tools:look_up", story.root, ms=5)
    story.end(step, "failed", error, ms=9)
    return story.finish("failed", ms=10)


def _night(api: Api) -> str:
    """Return a run with a group of siblings, which the activity strip and the gaps belong to."""
    run = begun(api)
    steps = [Step("remit:run", took_ms=90_000), Step("night_review", 0, 1, 89_000)]
    for number in range(260):
        at = 10 + number * 100 + (36_000 if number > 200 else 0)
        status = "failed" if number in {90, 170} else "complete"
        steps.append(Step("search_help", 1, at, 60, status, {"query": f"question {number}"}))
    record(api, run, steps)
    ended(api, run, 90_000)
    return run
