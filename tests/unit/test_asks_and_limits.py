"""A step that has a limit and needs a yes: counted before a person is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import remit
from remit.errors import DeniedError
from remit.testing import isolated

PAYS = remit.risk(allows="financial_transactions", forbids="others")
PAID: list[int] = []


@remit.span_type(data_risk=PAYS)
async def pay(number: int) -> None:
    """Pay."""
    PAID.append(number)


@remit.span_type(data_risk=PAYS)
async def pay_in_parts(number: int) -> AsyncIterator[int]:
    """Pay, part by part."""
    PAID.append(number)
    yield number


@remit.agent(
    data_risk=remit.risk(asks="financial_transactions"),
    limits=remit.limits(financial_transactions=1),
)
async def till(numbers: range) -> list[BaseException | None]:
    """Pay all at once."""
    return await asyncio.gather(*map(pay, numbers), return_exceptions=True)


class Person:
    """An approver that takes a moment, and counts what it is asked."""

    def __init__(self, *answers: remit.Approved | remit.Refused) -> None:
        """Prepare the answers, the last one again."""
        self._answers = answers
        self.asked = 0

    async def __call__(self, request: remit.ApprovalRequest) -> remit.Approved | remit.Refused:
        """Answer."""
        del request
        self.asked += 1
        answer = self._answers[min(self.asked, len(self._answers)) - 1]
        await asyncio.sleep(0.01)
        return answer


YES = remit.Approved(by="dana")
NO = remit.Refused(by="dana", why="not today")


@pytest.fixture(autouse=True)
def _nothing_paid() -> None:
    PAID.clear()


def test_two_hundred_payments_at_once_with_a_limit_of_one_ask_once() -> None:
    """One runs, and the others are beyond the limit, unasked."""
    person = Person(YES)
    with isolated(on_violation="deny", approver=person):
        results = asyncio.run(till(range(200)))
    assert person.asked == len(PAID) == 1
    denials = [error for error in results if error is not None]
    assert len(denials) == 199
    assert all("limit of this run" in error.for_model() for error in denials)  # type: ignore[attr-defined] # denials


def test_a_no_gives_the_place_back() -> None:
    """The next payment is asked about, and runs; the one after it is beyond the limit."""
    person = Person(NO, YES)

    async def work() -> None:
        async with till.run():
            with pytest.raises(DeniedError, match="not today"):
                await pay(1)
            await pay(2)
            with pytest.raises(DeniedError, match="beyond the limit"):
                await pay(3)

    with isolated(on_violation="deny", approver=person):
        asyncio.run(work())
    assert PAID == [2]
    assert person.asked == 2


def test_a_cancelled_wait_gives_the_place_back() -> None:
    """Also that of a generator, which is asked about at its first item."""

    async def never(request: remit.ApprovalRequest) -> remit.Approved:
        if request.arguments["number"] == 1:
            await asyncio.sleep(60)
        return YES

    async def first(stream: AsyncIterator[int]) -> int:
        return await anext(stream)

    async def work() -> None:
        async with till.run():
            for waiting in (pay(1), first(pay_in_parts(1))):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(waiting, 0.05)
            assert [item async for item in pay_in_parts(2)] == [2]
            with pytest.raises(DeniedError, match="beyond the limit"):
                await pay(3)

    with isolated(on_violation="deny", approver=never):
        asyncio.run(work())
    assert PAID == [2]
