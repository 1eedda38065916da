"""A collector with something on every screen of the page, and the addresses of the screens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final, NamedTuple

from remit.collector import create_token
from remit.testing import FakeClock
from tests import asked_runs, run_pages, waterfalls
from tests.asking import ADA, Asking
from tests.asking_agents import asking_agent
from tests.busy_day import busy_day
from tests.collecting import NOBODY, Api, World, details
from tests.conversing import LONG, complete_and_failed, conversation, talked
from tests.declared_agents import filled
from tests.inside_collector import root_id
from tests.limited import inner_agent, limited_agent, limited_run
from tests.undeclared import undeclared_agent
from tests.versioned_agents import versioned_agent


class Screen(NamedTuple):
    """A screen of the page, or a state of one.

    Attributes:
        name: Name of its picture.
        address: Where it is; the names in it are the keys of `places_of`.
        status: Status of the answer.
    """

    name: str
    address: str
    status: int = HTTPStatus.OK


SCREENS: Final = (
    Screen("sign-in", "/sign-in"),
    Screen("runs", "/runs"),
    Screen("runs-more", "/runs?more=1&agent={agent}"),
    Screen("runs-longest", "/runs?order=longest&agent={agent}"),
    Screen("runs-none", "/runs?purpose=eval"),
    Screen("runs-filtered", "/runs?conversation={thread}"),
    Screen("runs-answered", "/runs?conversation={answered}"),
    Screen("failed", "/runs/{failed}"),
    Screen("framed", "/runs/{framed}"),
    Screen("group", "/runs/{grouped}"),
    Screen("run-graph", "/runs/{graph}"),
    Screen("handled", "/runs/{handled}"),
    Screen("denial", "/runs/{denied}"),
    Screen("held", "/runs/{held}"),
    Screen("run-asked", "/runs/{asked_run}"),
    Screen("run-asked-hidden", "/runs/{asked_hidden}"),
    Screen("run-waiting", "/runs/{waiting_run}"),
    Screen("run-refused", "/runs/{refused_run}"),
    Screen("run-expired", "/runs/{expired_run}"),
    Screen("run-interrupted", "/runs/{interrupted_run}"),
    Screen("run-asked-print", "/runs/{asked_run}/print"),
    Screen("limit", "/runs/{limited_run}"),
    Screen("limit-ended", "/runs/{ended_by_limit}"),
    Screen("process-ended", "/runs/{ended_process}"),
    Screen("cancelled", "/runs/{cancelled}"),
    Screen("running", "/runs/{running}"),
    Screen("not-begun", "/runs/{pending}"),
    Screen("terminate", "/runs/{running}/terminate"),
    Screen("terminate-ended", "/runs/{failed}/terminate"),
    Screen("terminated", "/runs/{terminated}"),
    Screen("erased", "/runs/{erased}"),
    Screen("waterfall", "/runs/{night}"),
    Screen("waterfall-find", "/runs/{night}?q=charge"),
    Screen("waterfall-failed", "/runs/{night}?only=failed"),
    Screen("print", "/runs/{failed}/print"),
    Screen("values-hidden", "/runs/{confidential}/spans/{step}"),
    Screen("values-shown", "/runs/{confidential}/spans/{step}/values"),
    Screen("model-call", "/runs/{conversation}?span={call}"),
    Screen("reading", "/runs/{conversation}/spans/{call}/read"),
    Screen("reading-hidden", "/runs/{private_talk}/spans/{private_call}/read"),
    Screen("reading-shown", "/runs/{private_talk}/spans/{private_call}/values/read"),
    Screen("conversation", "/conversations/{thread}"),
    Screen("conversation-text", "/conversations/{thread}?view=text"),
    Screen("conversation-pages", "/conversations/{long_thread}?page=2"),
    Screen("waiting", "/waiting"),
    Screen("ask", "/waiting/{ask}"),
    Screen("ask-messages", "/waiting/{ask_messages}"),
    Screen("ask-about", "/waiting/{ask_about}"),
    Screen("ask-barred", "/waiting/{ask_barred}"),
    Screen("ask-plain", "/waiting/{ask_plain}"),
    Screen("ask-approved", "/waiting/{ask_approved}"),
    Screen("ask-used", "/waiting/{ask_used}"),
    Screen("ask-refused", "/waiting/{ask_refused}"),
    Screen("ask-expired", "/waiting/{ask_expired}"),
    Screen("ask-withdrawn", "/waiting/{ask_withdrawn}"),
    Screen("ask-changed", "/waiting/{ask_changed}"),
    Screen("ask-hostile", "/waiting/{ask_hostile}"),
    Screen("compare-form", "/runs/compare"),
    Screen("compare", "/runs/compare?a={older}&b={newer}"),
    Screen("hold", "/hold"),
    Screen("agents", "/agents"),
    Screen("agents-none", "/agents?agent=nothing"),
    Screen("agent", "/agents/{agent}"),
    Screen("agent-categories", "/agents/{agent}?categories=all"),
    Screen("agent-activity", "/agents/{agent}?view=activity"),
    Screen("agent-versions", "/agents/{agent}?view=versions"),
    Screen("agent-limits", "/agents/{limited}"),
    Screen("agent-asks", "/agents/{asking}"),
    Screen("agent-undeclared", "/agents/{undeclared}"),
    Screen("agent-undeclared-failed", "/agents/{finder}"),
    Screen("agent-undeclared-activity", "/agents/{undeclared}?view=activity"),
    Screen("agent-one-version", "/agents/{undeclared}?view=versions"),
    Screen("map", "/map"),
    Screen("map-undeclared", "/map?agent={undeclared}"),
    Screen("denied", "/denied"),
    Screen("denied-none", "/denied?agent={undeclared}"),
    Screen("register", "/register"),
    Screen("account", "/account"),
    Screen("revoke", "/account/tokens/{token}/revoke"),
    Screen("help", "/help"),
)
"""All screens and their states."""
_INVALID: Final = HTTPStatus.UNPROCESSABLE_ENTITY
REJECTED: Final = (
    Screen("runs-wrong", "/runs?status=odd&from=soon&agent=nobody", _INVALID),
    Screen("map-wrong", "/map?category=money", _INVALID),
    Screen("compare-wrong", "/runs/compare?a=x&b=y", HTTPStatus.NOT_FOUND),
    Screen("404-run", f"/runs/{NOBODY}", HTTPStatus.NOT_FOUND),
    Screen("404-conversation", "/conversations/nothing", HTTPStatus.NOT_FOUND),
    Screen("404", f"/agents/{NOBODY}", HTTPStatus.NOT_FOUND),
)
"""What the page answers to a request that is wrong."""
_ORDERS: Final = ("Order desk", "Order desk", "Invoice clerk", "Parcel finder", "Night review")


def places_of(world: World, api: Api, runs: int = 8) -> dict[str, str]:
    """Fill a collector; return the ids that the addresses of the screens name."""
    declared, asking = filled(world.store, runs=1), Asking(world)
    busy_day(world.store, runs, _ORDERS)
    long_ago = FakeClock(datetime.now(UTC) - timedelta(days=200))
    create_token(world.store, "account", name="ci-nightly", clock=long_ago)
    tokens = api.get("/api_token").json()["summaries"]
    talk, calls = conversation(api)
    older, newer = complete_and_failed(api)
    confidential, step = run_pages.confidential(api, {"note": "a private word"})
    limited = limited_agent(api)
    inner_agent(api)
    private_talk, private_call = run_pages.confidential_call(api)
    said = {"on_behalf_of": "user-42", "subject": "customer-17", "conversation": "thread-9"}
    limited_run(api, limited, key="run-key-8", said=said)
    limited_run(api, limited, key="run-key-9", said={**said, "on_behalf_of": ADA})
    waiting_run = asked_runs.unanswered(api, "run-key-10")
    asking.ask(run="run-key-10", ticket=asked_runs.TICKET, step=asked_runs.REFUND)
    return {
        **asking.all_states(),
        "ask_messages": asking.with_messages(api),
        "ask_about": asking.ask(run="run-key-8", agent="Limited desk", step="desk:refund"),
        "ask_barred": asking.ask(run="run-key-9", agent="Limited desk", step="desk:refund"),
        "agent": versioned_agent(api),
        "undeclared": declared.agents["Mail sorter"],
        "token": next(each["id"] for each in tokens if each["name"] == "ci-nightly"),
        "failed": run_pages.failed(api),
        "framed": _framed(api),
        "grouped": run_pages.grouped(api),
        "graph": run_pages.graph(api),
        "handled": run_pages.handled(api),
        "denied": run_pages.denied(api),
        "held": run_pages.held(api),
        "asked_run": asked_runs.approved(api),
        "asked_hidden": asked_runs.approved(api, "confidential"),
        "waiting_run": waiting_run,
        "interrupted_twice": asked_runs.unanswered(api, how="interrupt", step=None),
        "refused_run": asked_runs.ended_in(api, "refused"),
        "expired_run": asked_runs.ended_in(api, "expired", None),
        "interrupted_run": asked_runs.interrupted(api),
        "asking": asking_agent(api, asking),
        "finder": undeclared_agent(api),
        "limited": limited,
        "limited_run": limited_run(api, limited),
        "ended_by_limit": limited_run(api, limited, ended=True),
        "ended_process": run_pages.ended_process(api),
        "cancelled": run_pages.cancelled(api),
        "running": run_pages.running(api),
        "pending": api.instance("pending")["id"],
        "terminated": _terminated(api),
        "erased": erased(world, api),
        "night": _night(api),
        "confidential": confidential,
        "step": step,
        "conversation": talk,
        "thread": _thread(api, asking),
        "long_thread": _long_thread(api),
        "call": calls[-1],
        "private_talk": private_talk,
        "private_call": private_call,
        "older": older,
        "newer": newer,
        "answered": _answered(api, asking, limited),
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


def _thread(api: Api, asking: Asking) -> str:
    """Return a conversation with turns of every kind, of which the last one waits."""
    said = {"conversation": "t-1021", "on_behalf_of": "user-42", "subject": "customer-17"}
    talked(api, "t-1021", ("Where is order 1021?", f"At your <b>neighbour</b>. {LONG}"))
    for told in (run_pages.denied, run_pages.failed, run_pages.confidential_call):
        told(api, said=said)
    key = "run-key-of-a-conversation"
    run = str(api.instance("active", external_identifier=key)["id"])
    api.span(run, schema_name="remit:run", id=root_id(run), payload=said)
    asked = {
        "asked": "may it?",
        "how": "approver",
        "step": "shop.desk:refund",
        "words": ["financial_transactions"],
        "ticket": "9",
    }
    span = api.span(run, schema_name="remit:asked", parent_span_id=root_id(run), payload=asked)
    body = {"status": "complete", "result_payload": {}}
    details(api.post(f"/agent_spans/{span['id']}/finish", body))
    asking.ask(run=key)
    return "t-1021"


def _answered(api: Api, asking: Asking, limited: str) -> str:
    """Return a conversation whose runs were answered, or denied by a limit or a hold."""
    said = {"conversation": "t-0996", "on_behalf_of": "user-42"}
    talked(api, "t-0996", ("Pay order 996 back.", "Please send the receipt."))
    keys = [f"run-key-of-an-answer-{number}" for number in range(3)]
    asking.answer(asking.ask(run=keys[0]))
    asking.answer(asking.ask(run=keys[1]), "refused", "not without the receipt")
    asking.ask(run=keys[2], time_limit_s=0.001)
    asked_runs.approved(api, key=keys[0], said=said)
    for key, decision in zip(keys[1:], ("refused", "expired"), strict=True):
        asked_runs.ended_in(api, decision, key=key, said=said)
    asked_runs.approved(api, said=said)
    run_pages.held(api, said=said)
    limited_run(api, limited, said=said)
    return "t-0996"


def _long_thread(api: Api) -> str:
    """Return a conversation of more turns than a page has."""
    exchanges = [(f"Question {number}?", f"Answer {number}.") for number in range(22)]
    talked(api, "a/long thread", *exchanges)
    return "a/long%20thread"


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
    """Return a run of many steps, with groups of siblings and gaps."""
    run, steps = waterfalls.begun(api), waterfalls.night()
    waterfalls.record(api, run, steps)
    waterfalls.ended(api, run, steps[0].took_ms or 0)
    return run
