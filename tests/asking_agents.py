"""An agent in a collector that asks a person before it pays or sends, and its runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from remit import risk
from remit.models.data_risk import DataRisk
from tests.asking import Asking
from tests.collecting import Api
from tests.inside import Counted, beyond
from tests.run_pages import BEGIN
from tests.versioned_agents import agent_of, entry
from tests.violating import denial

IDENTIFIER: Final = "shop-support/desk:desk"
DESK: Final = "desk:desk"
REFUND: Final = "desk:refund"
MAIL: Final = "desk:mail_customer"
WAITED_S: Final = 128
LIMITS: Final = {"external_communication": 5, "financial_transactions": 1, "steps": 200}
ASKS: Final = ("financial_transactions", "external_communication")
CONTACT: Final = "contact_information"
MONEY: Final = "financial_information"
SECRETS: Final = "authentication_and_secrets"
QUESTIONS: Final = (
    *((REFUND, decision) for decision in ("approved", "approved", "refused", "withdrawn", None)),
    *((MAIL, decision) for decision in ("approved", "expired", "superseded")),
)
"""The step of each question, and how it was answered."""
ANSWERS: Final = {"approved": "yes", "refused": "no"}


def schema() -> dict[str, Any]:
    """Return what the agent registers."""
    own = risk(
        allows=("create_data", "read_data", "update_data", *ASKS),
        forbids="destroy_data",
        takes=(CONTACT, MONEY),
        excludes=SECRETS,
    )
    keywords = {"x-remit-limits": LIMITS, "x-remit-asks": [*ASKS], "x-remit-owner": "shop platform"}
    types = [
        entry(DESK, own, **keywords),
        entry(REFUND, _step(("update_data", ASKS[0]), takes=MONEY, gives=MONEY)),
        entry(MAIL, _step(("read_data", ASKS[1]), takes=CONTACT)),
        entry("desk:track_parcel", _parcel()),
        entry("desk:delete_address", _step(("destroy_data",), takes=CONTACT)),
        entry("desk:order_replacement", _step(("create_data",), takes=CONTACT)),
        entry("desk:find_order", _step(("read_data",), gives=CONTACT)),
    ]
    return {"external_identifier": "asking-1", "span_type_schemas": types}


def _step(allows: tuple[Any, ...], takes: Any = (), gives: Any = ()) -> DataRisk:
    excludes: list[Any] = [name for name in (CONTACT, MONEY, SECRETS) if name not in (takes, gives)]
    level: Any = "confidential" if ASKS[0] in allows else "internal"
    return risk(
        allows=allows,
        forbids="others",
        takes=takes,
        gives=gives,
        excludes=excludes,
        classification=level,
    )


def _parcel() -> DataRisk:
    """Return the risk of a step that leaves undeclared whether it sends."""
    return risk(
        allows="read_data",
        forbids=("create_data", "update_data", "destroy_data", ASKS[0]),
        excludes=(CONTACT, MONEY, SECRETS),
        classification="internal",
    )


def asking_agent(api: Api, asking: Asking | None = None) -> str:
    """Return the id of the agent, which asked eight questions, and denied a refund by its limit.

    One question waits. With *asking*, a request on the server waits as well.
    """
    agent = agent_of(api, "Support desk", external_identifier=IDENTIFIER)
    for number, (step, decision) in enumerate(QUESTIONS):
        run = run_of(api, agent, key=f"asking-{number}")
        _question(api, run, step, decision, number)
    limited = run_of(api, agent)
    counted = Counted(DESK, ASKS[0], 1, "allowed")
    for _ in range(2):
        result = denial(REFUND, *beyond(REFUND, [counted]))
        api.span(limited, schema_name=REFUND, status="failed", result_payload=result)
    if asking is not None:
        asking.ask(run=f"asking-{len(QUESTIONS) - 4}", agent="Support desk", step=REFUND)
    return agent


def run_of(api: Api, agent: str, key: str | None = None) -> str:
    """Return a new run of the agent."""
    known = {} if key is None else {"external_identifier": key}
    run = str(api.instance(agent_id=agent, agent_schema_version=schema(), **known)["id"])
    api.span(run, schema_name="desk:find_order", status="complete")
    return run


def _question(api: Api, run: str, step: str, decision: str | None, number: int) -> None:
    """Record a question of a run, and its answer unless that is None."""
    began, ticket = BEGIN + timedelta(minutes=number), f"ticket-{number}"
    asked = {"asked": "May it?", "how": "approver", "ticket": ticket, "step": step}
    _complete(api, run, "remit:asked", asked, began.isoformat())
    if decision is None:
        return
    answered = {
        "answer": ANSWERS.get(decision),
        "by": "ben@shop.example" if decision in ANSWERS else None,
        "ticket": ticket,
        "as_claimed": False,
        "decision": decision,
    }
    at = began + timedelta(seconds=WAITED_S)
    _complete(api, run, "remit:answered", answered, at.isoformat())


def _complete(api: Api, run: str, name: str, payload: dict[str, Any], at: str) -> None:
    span = api.span(run, schema_name=name, payload=payload, started_at=at)
    body = {"status": "complete", "timestamp": at, "result_payload": {}}
    api.post(f"/agent_spans/{span['id']}/finish", body).raise_for_status()
