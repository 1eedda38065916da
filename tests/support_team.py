"""A support team of 12 steps and 3 agents, declared openly or completely.

The steps are those of a company's CRM, orders, mail, help pages, analytics and a model.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel

import remit
from remit.errors import DeniedError
from remit.models.data_risk import DataRisk
from remit.testing import RecordingSink, isolated

Risk = Callable[..., DataRisk]

CUSTOMER: Final = ("personal_identifiers", "contact_information")
SENDS: Final = ("external_communication",)
MONEY: Final = ("update_data", "financial_transactions", "external_communication")


class Customer(BaseModel):
    """A customer of the shop."""

    name: Annotated[str, remit.Sensitive("personal_identifiers")]
    email: Annotated[str, remit.Sensitive("contact_information")]


ADA: Final = Customer(name="Ada Lovelace", email="ada@example.com")


class Team(NamedTuple):
    """The agents."""

    triage: Any
    support: Any
    analyst: Any


def declare(risk: Risk) -> Team:  # noqa: C901 - the steps of three agents
    """Declare steps and agents; *risk* makes the declarations of the steps."""

    @remit.span_type("read inbox", data_risk=risk(allows="read_data", gives=CUSTOMER))
    def read_inbox() -> Customer:
        return ADA

    @remit.span_type("classify", data_risk=risk(allows="external_communication"))
    def classify(question: str) -> str:
        return question.partition(" ")[0]

    @remit.span_type("route", data_risk=risk(allows="update_data"))
    def route(ticket: int, queue: str) -> None: ...

    @remit.span_type("find customer", data_risk=risk(allows="read_data", gives=CUSTOMER))
    def find_customer(number: int) -> Customer:
        return [ADA][number - 1]

    @remit.span_type("find order", data_risk=risk(allows="read_data"))
    def find_order(number: int) -> str:
        return f"{number} is shipped"

    @remit.span_type(
        "refund", data_risk=risk(allows=MONEY, takes="financial_information", gives=())
    )
    def refund(order: int, cents: int) -> None: ...

    @remit.span_type(
        "send mail", data_risk=risk(allows=SENDS, takes=("contact_information", CUSTOMER[0]))
    )
    def send_mail(to: Customer, text: str) -> None: ...

    @remit.span_type("search help", data_risk=risk(allows="read_data"))
    def search_help(words: str) -> list[str]:
        return [f"Everything about {words}."]

    @remit.span_type("count tickets", data_risk=risk(allows="read_data"))
    def count_tickets(day: str) -> int:
        return len(day)

    @remit.span_type("draw chart", data_risk=risk(allows="create_data"))
    def draw_chart(counts: list[int]) -> str:
        return f"{counts}.svg"

    def draft(text: str) -> str:
        return f"Dear customer: {text}"

    answer = remit.span_type(
        "draft answer",
        data_risk=risk(allows=SENDS, takes="personal_identifiers", gives="personal_identifiers"),
    )(draft)
    report = remit.span_type("draft report", data_risk=risk(allows=SENDS))(draft)

    @remit.agent(
        name="triage",
        data_risk=remit.risk(forbids=("create_data", "destroy_data", "financial_transactions")),
    )
    def triage() -> None:
        read_inbox()
        classify("Where is my money?")
        route(1, "refunds")

    @remit.agent(name="support", data_risk=remit.risk(forbids="destroy_data"))
    def support() -> None:
        customer = find_customer(1)
        find_order(1)
        search_help("refund")
        refund(1, 500)
        send_mail(customer, answer("we pay back"))

    @remit.agent(
        name="analyst",
        data_risk=remit.risk(
            forbids=("update_data", "destroy_data", "financial_transactions"), excludes=CUSTOMER
        ),
    )
    def analyst() -> None:
        draw_chart([count_tickets("Monday")])
        report("12 tickets")
        read_inbox()  # an analyst may not

    return Team(triage, support, analyst)


def exceeding(risk: Risk, mode: Literal["observe", "deny"]) -> dict[str, list[str]]:
    """Return by agent which steps exceed its remit: recorded so, or refused, one after another."""
    steps: dict[str, list[str]] = {}
    for name in Team._fields:
        with isolated(on_violation=mode) as recorder:
            agent = getattr(declare(risk), name)
            with suppress(DeniedError), agent.run():
                agent()
            steps[name] = marked(recorder)
    return steps


def marked(recorder: RecordingSink) -> list[str]:
    """Return the names of the steps that exceed a remit."""
    return [
        span.name
        for span in recorder.spans()
        if span.violations or (span.result or {}).get("error", {}).get("violations")
    ]
