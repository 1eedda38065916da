"""The support desk with which pages are compared, recorded by remit; its model answers from a list.

`python -m benchmarks.desk URL TOKEN` records three runs, told apart by the label `case`:

- `failed`: a tool of a nested agent fails through two causes;
- `talk`: a conversation of 60 messages, whose last answer is streamed;
- `night`: 2,000 steps, of which five fail and are handled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import remit
from benchmarks.children import PATIENCE_S, ChildError

MESSAGES: Final = 60
QUESTIONS: Final = 399
"""Five steps for each, the run, the agent and three more: 2,000."""
FAILING: Final = (40, 111, 222, 333, 380)
ROOT_CAUSE: Final = "no answer from bank.internal"

Message: TypeAlias = dict[str, str]


class BankError(Exception):
    """The bank did not confirm."""


class PaymentError(Exception):
    """No money was paid back."""


def ask_bank() -> None:
    """Wait for the bank, which does not answer."""
    raise TimeoutError(ROOT_CAUSE)


def transfer(order: str) -> None:
    """Hand a payment to the bank."""
    try:
        ask_bank()
    except TimeoutError as error:
        raise BankError(f"transfer of {order} not confirmed") from error


@remit.span_type(data_risk=remit.risk(allows="financial_transactions", classification="internal"))
def pay_back(order: str, amount: float) -> str:
    """Pay the money for an order back."""
    try:
        transfer(order)
    except BankError as error:
        raise PaymentError(f"could not pay back {amount} euros for {order}") from error
    return order


@remit.span_type(data_risk=remit.risk(allows="read_data", classification="internal"))
def look_up(order: str) -> dict[str, object]:
    """Read an order."""
    return {"order": order, "amount": 41.9, "status": "delivered"}


@remit.span_type(data_risk=remit.risk(allows="read_data", classification="internal"))
def check_stock(number: int) -> int:
    """Count what is left, which is not always known."""
    if number in FAILING:
        raise LookupError(f"no count for item {number}")
    return number % 7


@remit.span_type(data_risk=remit.risk(classification="internal"))
def chat(messages: list[Message]) -> Message:
    """Ask the model."""
    return {"role": "assistant", "content": f"answer {len(messages)}: it is on its way"}


@remit.span_type(data_risk=remit.risk(classification="internal"))
def write(messages: list[Message]) -> Iterator[str]:
    """Let the model write an answer word by word."""
    yield from (f"word {number} of {len(messages)} " for number in range(18))


@remit.agent
def accounts(order: str) -> str:
    """Pay back what is owed."""
    return pay_back(order, 41.9)


@remit.agent
def desk(case: str) -> None:
    """Answer customers."""
    CASES[case]()


def failed() -> None:
    """Look an order up, and let the other agent pay it back."""
    look_up("A-1009")
    accounts("A-1009")


def talk() -> None:
    """Talk until there are 60 messages, the last of which is streamed."""
    messages: list[Message] = [{"role": "system", "content": "You answer customers of a shop."}]
    while len(messages) < MESSAGES - 1:
        messages.append({"role": "user", "content": f"question {len(messages)}: where is it?"})
        messages.append(chat(list(messages)))
    "".join(write(messages))


def night() -> None:
    """Answer the questions of a night."""
    for number in range(QUESTIONS):
        order = f"A-{number}"
        question = {"role": "user", "content": f"question {number}: where is my order {order}?"}
        with remit.span("answer", {"order": order}):
            look_up(order)
            chat([question])
            try:
                check_stock(number)
            except LookupError:
                look_up(order)
            else:
                look_up(order)
    for _ in range(3):
        look_up("A-0")


CASES: Final[dict[str, Callable[[], None]]] = {"failed": failed, "talk": talk, "night": night}


def main() -> None:
    """Record all cases.

    Raises:
        ChildError: Not all of it was delivered.
    """
    url, token = sys.argv[1:]
    remit.configure(api_url=url, api_token=token)
    for case in CASES:
        try:
            with desk.run(labels={"case": case}):
                desk(case)
        except PaymentError:
            continue
    if remit.flush(PATIENCE_S).pending:
        raise ChildError("not all spans were delivered")


if __name__ == "__main__":
    main()
