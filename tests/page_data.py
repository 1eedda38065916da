"""A collector with something on every screen of the page; see `tests.browsing.SCREENS`."""

from __future__ import annotations

from http import HTTPStatus

from remit.collector import create_token
from tests import run_pages
from tests.browsing import Desk
from tests.collecting import details
from tests.conversing import complete_and_failed, conversation
from tests.waterfalls import Step, begun, ended, record


def places_of(desk: Desk) -> dict[str, str]:
    """Fill a collector; return the ids that the addresses of the screens name."""
    api = desk.api
    talk, calls = conversation(api)
    older, newer = complete_and_failed(api)
    confidential, step = run_pages.confidential(api, {"note": "a private word"})
    return {
        "failed": run_pages.failed(api),
        "grouped": run_pages.grouped(api),
        "refused": run_pages.refused(api),
        "cancelled": run_pages.cancelled(api),
        "ended_process": run_pages.ended_process(api),
        "running": run_pages.running(api),
        "terminated": _terminated(desk),
        "erased": erased(desk),
        "night": _night(desk),
        "confidential": confidential,
        "step": step,
        "conversation": talk,
        "call": calls[-1],
        "older": older,
        "newer": newer,
    }


def erased(desk: Desk) -> str:
    """Return a run whose values were erased."""
    run = run_pages.failed(desk.api)
    store, clock = desk.world.store, desk.world.clock
    token = create_token(store, "account", may="erase", name="privacy-office", clock=clock)
    body = {"run_id": run, "reason": "article 17"}
    answer = desk.world.http(token.secret).post("/api/remit/v1/erasures", json=body)
    assert answer.status_code == HTTPStatus.OK, answer.text
    return run


def _terminated(desk: Desk) -> str:
    run = run_pages.running(desk.api)
    details(desk.api.post(f"/agent_instance/{run}/terminate", {"reason": "enough"}))
    return run


def _night(desk: Desk) -> str:
    """Return a run with a group of siblings, which the activity strip and the gaps belong to."""
    run = begun(desk.api)
    steps = [Step("remit:run", took_ms=90_000), Step("night_review", 0, 1, 89_000)]
    for number in range(260):
        at = 10 + number * 100 + (36_000 if number > 200 else 0)
        status = "failed" if number in {90, 170} else "complete"
        steps.append(Step("search_help", 1, at, 60, status, {"query": f"question {number}"}))
    record(desk.api, run, steps)
    ended(desk.api, run, 90_000)
    return run
