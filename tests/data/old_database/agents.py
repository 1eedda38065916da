"""Agents whose runs are in the database of version 6: failures, refusals, withheld values, labels.

`REMIT_DATA_DIR` names the folder of the database. The last run never ends.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Annotated, Final

from pydantic import BaseModel

import remit
from remit.errors import DeniedError

PAYS: Final = remit.risk(allows="financial_transactions")


class Customer(BaseModel):
    """A customer."""

    name: Annotated[str, remit.Sensitive("personal_identifiers")]
    password: str


@remit.span_type("answer", template="{{ question }} -> {{ result }}")
def answer(question: str) -> str:
    """Answer a question."""
    return question.upper()


@remit.span_type("look up", data_risk=remit.risk(allows="read_data", gives="personal_identifiers"))
def look_up(number: int) -> Customer:
    """Return a customer."""
    return Customer(name="Ada Lovelace"[:number], password="swordfish")


def ask_model(prompt: str) -> None:
    """Ask a model."""
    with remit.span("ask model") as span:
        usage = {"prompt_tokens": len(prompt), "completion_tokens": 3}
        span.set_result({"outputs": "yes", "token_usage": usage})


@remit.span_type("pay", data_risk=PAYS)
def pay(cents: int) -> int:
    """Move money."""
    return cents


@remit.span_type("divide")
def divide(number: int) -> float:
    """Fail for zero."""
    return 1 / number


@remit.span_type("try to divide")
def try_to_divide(number: int) -> float:
    """Handle the failure."""
    try:
        return divide(number)
    except ZeroDivisionError:
        return 0.0


@remit.agent(name="desk", data_risk=remit.risk(forbids="financial_transactions"))
def desk(question: str) -> str:
    """Answer, look up, ask."""
    look_up(17)
    ask_model(question)
    return answer(question)


def main() -> None:
    """Record the runs."""
    for number in range(4):
        with (
            suppress(DeniedError),
            desk.run(purpose="live", subject=f"customer-{number % 2}", labels={"n": number}),
        ):
            desk(f"question {number}")
    with suppress(DeniedError, ZeroDivisionError), desk.run(labels=["failing"]):
        try_to_divide(0)
        divide(0)
    with suppress(DeniedError, ZeroDivisionError), desk.run(purpose="live"):
        divide(0)
    with suppress(DeniedError), desk.run(subject="customer-9"):
        pay(500)
    remit.flush(timeout_s=30)
    with suppress(DeniedError), desk.run(purpose="eval"), remit.span("open"):
        remit.flush(timeout_s=30)
        os._exit(0)


if __name__ == "__main__":
    main()
