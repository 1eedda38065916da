"""A desk of twelve steps and four agents, as the module `desk`: after the pull request."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import BaseModel, SecretStr

import remit

Email = Annotated[str, remit.Sensitive("contact_information")]

risk = partial(remit.risk, forbids="others", excludes=("health_and_medical", "criminal_justice"))


class Customer(BaseModel):
    """A customer, as the shop knows them."""

    number: int
    email: str
    city: str


class Order(BaseModel):
    """One thing that was ordered."""

    number: int
    price: float


@remit.span_type(data_risk=risk(allows="read_data", gives="contact_information"))
def find_customer(number: int) -> Customer:
    """Find a customer by number."""
    return Customer(number=number, email="ada@example.com", city="London")


@remit.span_type(data_risk=risk(allows="read_data"))
def find_order(number: int) -> Order:
    """Find an order by its number, or the newest one."""
    return Order(number=number, price=10)


@remit.span_type(data_risk=risk(allows="read_data"))
def search_help(question: str) -> list[str]:
    """Find the help pages that fit a question."""
    return [question]


@remit.span_type(
    data_risk=risk(allows="read_data", gives="contact_information"),
    capture={"token": {"name:token": True}},
)
def read_inbox(token: str) -> list[str]:
    """Read the messages that are new."""
    return [token]


@remit.span_type(data_risk=risk(allows="external_communication", takes="contact_information"))
def send_mail(recipient: str, body: str) -> None:
    """Send a message to a customer."""


@remit.span_type(
    data_risk=risk(
        allows=("update_data", "financial_transactions", "external_communication"),
        takes=("financial_information", "authentication_and_secrets"),
        classification="internal",
    )
)
def refund(order: int, token: SecretStr) -> str:
    """Pay the money for an order back."""
    return f"{order}, {len(token)}"


@remit.span_type(data_risk=risk(allows="update_data"))
def close_order(order: int, note: str = "") -> None:
    """Write down how an order ended."""


@remit.span_type(data_risk=risk(allows="destroy_data"))
def forget(customer: int) -> None:
    """Delete what is known of a customer."""


@remit.span_type(data_risk=risk(allows="read_data", gives="behavioural_and_inferred"))
def count_orders(month: str) -> dict[str, int]:
    """Count the orders of a month."""
    return {month: 1}


@remit.span_type(
    data_risk=risk(
        allows=("read_data", "external_communication"),
        takes="contact_information",
        gives="contact_information",
    )
)
def export(customers: list[Customer], url: str) -> int:
    """Upload customers to the warehouse."""
    return len(customers) + len(url)


@remit.span_type(data_risk=risk())
def understand(question: str) -> str:
    """Find out what a customer wants."""
    return question


@remit.span_type(data_risk=remit.risk(allows="external_communication"))
def draft(question: str) -> str:
    """Ask a model for an answer."""
    return question


@remit.agent(data_risk=risk(allows=("read_data", "update_data")))
def triage(question: str) -> str:
    """Sort the questions, and answer none."""
    return understand(question)


@remit.agent(
    data_risk=remit.risk(forbids=("destroy_data", "financial_transactions"), excludes="minors_data")
)
def support(question: str) -> str:
    """Answer customers."""
    return draft(question)


@remit.agent(data_risk=remit.risk(allows="read_data", excludes="financial_information"))
def analyst(question: str) -> str:
    """Answer questions about the business."""
    return understand(question)


@remit.agent(data_risk=remit.risk(forbids="external_communication"))
def auditor(question: str) -> str:
    """Check what was answered."""
    return understand(question)
