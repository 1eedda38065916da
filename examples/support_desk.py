"""A support desk that really answers, offline, and records what it does with remit.

```shell
python examples/support_desk.py "Where is my order 1240?"
python examples/support_desk.py "I want a refund for 1021" --sender grace.hopper@example.com
```

It needs no account, no key and no network. The orders are in an SQLite file, made on first use;
the help pages are next to this file; the payment provider is simulated. Where others ask a
model, this agent looks for words. Everything else is as in an agent that goes live.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field, SecretStr

import remit

HERE = Path(__file__).parent

# An address is needed to find someone's orders, and belongs into no record.
Email = Annotated[str, remit.Sensitive("contact_information")]
Topic = Literal["order", "refund", "help"]
Money = Annotated[Decimal, Field(description="In euros.")]

# Each step says all that it does: what it does not name, it does not do, and it sees no such data.
risk = partial(remit.risk, forbids="others", excludes="others")

PERSON: Final = "personal_identifiers"
ADDRESS: Final = "contact_information"
PAYMENT: Final = ("financial_information", "authentication_and_secrets")

PAYS = risk(
    allows=("update_data", "financial_transactions", "external_communication"),
    takes=PAYMENT,
    gives="financial_information",
    classification="confidential",
)


class Status(StrEnum):
    """Where an order is."""

    PLACED = "placed"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    REFUNDED = "refunded"


class Ticket(BaseModel):
    """A question, and the address that its sender is logged in with."""

    question: str
    sender: Email


class Request(BaseModel):
    """What a question is about."""

    topic: Topic
    number: int | None = Field(None, description="Of the order, if one was named.")


class Order(BaseModel):
    """One thing that was ordered."""

    number: int
    item: str
    price: Money
    status: Status
    placed_at: datetime


class Case(BaseModel):
    """What is known of a request."""

    customer: str | None = None
    order: Order | None = None


class Refund(BaseModel):
    """Money that was paid back."""

    reference: str
    amount: Money
    paid_at: datetime


class Page(BaseModel):
    """A help page, and how well it fits a question."""

    title: str
    answer: str = Field(description="Its first paragraph.")
    score: int = Field(ge=0)


class Service(BaseModel):
    """How well a customer was served."""

    solved: bool
    words: int = Field(ge=0, description="Length of the answer.")


class RefundRefusedError(Exception):
    """The rules of the shop do not allow this refund."""


class Shop:
    """The customers and their orders: an SQLite file in *folder*, filled when it is new."""

    def __init__(self, folder: Path) -> None:
        """Open the shop; three hundred orders are there from the start."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "shop.db"
        with self._open() as db:
            db.executescript((HERE / "shop.sql").read_text("utf-8"))

    @remit.span_type(
        data_risk=risk(allows="read_data", takes=ADDRESS, gives=PERSON),
        template="{{ result | default: 'unknown' }}",
    )
    def find_customer(self, email: Email) -> str:
        """Return the name of the customer who is logged in with an address."""
        with self._open() as db:
            found = db.execute("SELECT name FROM customers WHERE email = ?", [email]).fetchone()
        if found is None:
            raise LookupError("nobody has ordered with this address")
        return str(found["name"])

    @remit.span_type(
        data_risk=risk(allows="read_data", takes=PERSON), template="{{ item }}, {{ status }}"
    )
    def find_order(self, customer: str, number: int | None = None) -> Order | None:
        """Find a customer's order by its number, or the newest one."""
        query = "SELECT * FROM orders WHERE customer = ? AND number = ifnull(?, number)"
        with self._open() as db:
            row = db.execute(f"{query} ORDER BY number DESC", [customer, number]).fetchone()
        return Order.model_validate(dict(row)) if row else None

    @remit.span_type(data_risk=risk(allows="update_data"))
    def close_order(self, number: int, status: Status) -> None:
        """Write down how an order ended."""
        with self._open() as db:
            db.execute("UPDATE orders SET status = ? WHERE number = ?", [status, number])

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file)) as db, db:
            db.row_factory = sqlite3.Row
            yield db


@remit.span_type(data_risk=PAYS, template="{{ amount }} euros, reference {{ reference }}")
async def pay_back(order: int, amount: Money, token: SecretStr) -> Refund:
    """Pay money back by the payment provider, a pretended one that only checks the signature."""
    key, text = token.get_secret_value().encode(), f"{order}:{amount}".encode()
    proof = await asyncio.to_thread(hmac.digest, key, text, "sha256")
    reference = f"R{order}-{int.from_bytes(proof[:2]):05d}"
    return Refund(reference=reference, amount=amount, paid_at=datetime.now(UTC))


@remit.span_type(data_risk=risk(takes=(PERSON, ADDRESS)), template="{{ topic }} {{ number }}")
def understand(question: str) -> Request:
    """Find out what a customer wants."""
    number = re.search(r"\b1\d{3}\b", question)
    topic: Topic = "order" if number or re.search("order|parcel", question) else "help"
    if re.search(r"refund|money back", question, re.IGNORECASE):
        topic = "refund"
    return Request(topic=topic, number=int(number[0]) if number else None)


@remit.span_type(data_risk=risk(allows="read_data", takes=ADDRESS, gives=PERSON))
async def look_up(request: Request, sender: Email, shop: Annotated[Shop, remit.Skip]) -> Case:
    """Find out who is asking, and about which order."""
    try:
        customer = await asyncio.to_thread(shop.find_customer, sender)
    except LookupError:
        return Case()
    case = Case(customer=customer)
    if request.topic != "help":
        case.order = await asyncio.to_thread(shop.find_order, customer, request.number)
    return case


@remit.span_type(data_risk=risk(allows="read_data", takes=(PERSON, ADDRESS)))
def search_help(question: str, most: int = 1) -> list[Page]:
    """Find the help pages that fit a question best."""
    asked = set(re.findall(r"[a-z]{4,}", question.lower()))
    words, reads = {"words": sorted(asked)}, risk(allows="read_data", takes=(PERSON, ADDRESS))
    with remit.span("score pages", words, data_risk=reads) as scoring:
        pages = [scored(path.read_text("utf-8"), asked) for path in HERE.glob("help_pages/*.md")]
        pages.sort(key=lambda page: (-page.score, page.title))
        scoring.set_result({page.title: page.score for page in pages if page.score})
    return [page for page in pages[:most] if page.score > 3]


def scored(text: str, asked: set[str]) -> Page:
    """Return a page, with one point for each word in its text, four for one in its title."""
    title, answer, *_ = text.removeprefix("# ").split("\n\n")
    hits = [3 * (word in title.lower()) + (word in text.lower()) for word in asked]
    return Page(title=title, answer=" ".join(answer.split()), score=sum(hits))


@remit.span_type(data_risk=PAYS, template="{{ amount | default: 'refused' }}")
async def refund(order: Order, token: SecretStr, shop: Annotated[Shop, remit.Skip]) -> Refund:
    """Give the money for an order back, if the rules of the shop allow it."""
    if order.status is not Status.DELIVERED:
        raise RefundRefusedError(f"it is {order.status}, and only what was delivered can be")
    paid = await pay_back(order.number, order.price, token)
    shop.close_order(order.number, Status.REFUNDED)
    return paid


@remit.span_type(data_risk=risk(allows="external_communication", takes=PERSON, gives=PERSON))
async def write(case: Case, outcome: str, pages: list[Page]) -> AsyncIterator[str]:
    """Write the answer word by word, as a model would."""
    sentences = [f"Hello {case.customer}!" if case.customer else "Hello!"]
    if order := case.order:
        sentences.append(f"Your order {order.number}, the {order.item}, is {order.status}.")
    sentences += [outcome, *(page.answer for page in pages)]
    for word in " ".join(sentences).split():
        await asyncio.sleep(0)
        yield word


@remit.agent(
    data_risk=risk(
        allows=("read_data", "update_data", "financial_transactions", "external_communication"),
        takes=(PERSON, ADDRESS, *PAYMENT),
        gives=(PERSON, "financial_information"),
    ),
    quality={"service": Service},
)
async def support(
    ticket: Ticket, *, payment_token: SecretStr, shop: Annotated[Shop, remit.Skip]
) -> AsyncIterator[str]:
    """Answer customers: find orders, give refunds, look up the help pages."""
    request = understand(ticket.question)
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(look_up(request, ticket.sender, shop))
        pages = group.create_task(asyncio.to_thread(search_help, ticket.question))
    case, outcome = looking.result(), ""
    if case.order and request.topic == "refund":
        try:
            paid = await refund(case.order, payment_token, shop)
            outcome = f"We pay {paid.amount} euros back, reference {paid.reference}."
        except RefundRefusedError as refusal:
            outcome = f"It cannot be refunded: {refusal}."
    elif not case.order and request.topic != "help":
        outcome = "I could not find your order; is this the address that you ordered with?"
    async for word in write(case, outcome, pages.result()):
        yield word


async def answer(ticket: Ticket, token: SecretStr, shop: Shop, say: Callable[[str], None]) -> None:
    """Answer a ticket in a run of its own: hand each word to *say*, then judge the service."""
    whose = hashlib.sha256(ticket.sender.encode()).hexdigest()[:12]
    async with support.run(subject=whose, labels={"channel": "chat"}) as run:
        words: list[str] = []
        async for word in support(ticket, payment_token=token, shop=shop):
            words.append(word)
            say(word)
        solved = not re.search("could not|cannot", " ".join(words))
        run.record_quality("service", Service(solved=solved, words=len(words)))


TICKETS = (
    Ticket(sender="ada.lovelace@example.com", question="Where is my order 1240?"),
    Ticket(sender="grace.hopper@example.com", question="The radio broke, refund 1021 please."),
    Ticket(sender="nobody.known@example.com", question="My parcel never came! Where is it?"),
    Ticket(sender="alan.turing@example.com", question="How long is the warranty on a lamp?"),
    Ticket(sender="hedy.lamarr@example.com", question="I want my money back for 1263."),
)


def main() -> None:
    """Answer the question on the command line, else a handful of examples."""
    parser = argparse.ArgumentParser(description="A support desk, recorded by remit.")
    parser.add_argument("question", nargs="?", help="without one, a handful of examples")
    parser.add_argument("--sender", default=TICKETS[0].sender, help="mail address of who asks")
    given = parser.parse_args()
    token = SecretStr(os.environ.get("PAYMENT_TOKEN", "pay_test_1234567890"))
    shop = Shop(Path(os.environ.get("SUPPORT_DESK", Path.home() / ".cache" / "support_desk")))
    asked = given.question and [Ticket(question=given.question, sender=given.sender)]
    for ticket in asked or TICKETS:
        print(f"> {ticket.question}")
        asyncio.run(answer(ticket, token, shop, partial(print, end=" ", flush=True)))
        print("\n")


if __name__ == "__main__":
    main()
