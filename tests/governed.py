"""Steps of every kind that move money, and agents that may or may not: what policy tests share."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial, partialmethod, singledispatch
from typing import Final

import remit

BODIES: Final[list[str]] = []
"""The kinds of the steps whose bodies ran."""
PAYS: Final = remit.risk(allows="financial_transactions")


@remit.agent(data_risk=remit.risk(forbids="financial_transactions", excludes="minors_data"))
def agent() -> None:
    """Hold the runs; it may not move money."""


@remit.agent
def free() -> None:
    """Hold the runs; it forbids nothing."""


@remit.span_type
def undeclared() -> None:
    """Say nothing of money."""
    BODIES.append("undeclared")


@remit.span_type(data_risk=PAYS)
def pay(amount: int = 5) -> None:
    """Move money."""
    BODIES.append(f"function {amount}")


@remit.span_type(data_risk=PAYS)
async def pay_later(amount: int = 5) -> None:
    """Move money."""
    BODIES.append(f"coroutine {amount}")


@remit.span_type(data_risk=PAYS)
def pay_in_parts(amount: int = 5) -> Iterator[int]:
    """Move money."""
    BODIES.append(f"generator {amount}")
    yield 1


@remit.span_type(data_risk=PAYS)
async def pay_in_parts_later(amount: int = 5) -> AsyncIterator[int]:
    """Move money."""
    BODIES.append(f"async generator {amount}")
    yield 1


@remit.agent(data_risk=PAYS)
def paying_agent(amount: int = 5) -> None:
    """Move money, as an agent that another one calls."""
    BODIES.append(f"agent {amount}")


@remit.agent(data_risk=PAYS)
async def paying_agent_later(amount: int = 5) -> None:
    """Move money, as an agent that another one calls."""
    BODIES.append(f"async agent {amount}")


class Till(ABC):
    """Methods that move money."""

    @remit.span_type(data_risk=PAYS)
    def pay(self, amount: int = 5) -> None:
        """Move money."""
        BODIES.append(f"method {amount}")

    @remit.span_type(data_risk=PAYS)
    async def pay_later(self, amount: int = 5) -> None:
        """Move money."""
        BODIES.append(f"async method {amount}")

    @classmethod
    @remit.span_type(data_risk=PAYS)
    def pay_all(cls, amount: int = 5) -> None:
        """Move money."""
        BODIES.append(f"class method {amount}")

    @remit.span_type(data_risk=PAYS)
    @staticmethod
    def pay_somebody(amount: int = 5) -> None:
        """Move money."""
        BODIES.append(f"static method {amount}")

    @abstractmethod
    @remit.span_type(data_risk=PAYS)
    def settle(self, amount: int = 5) -> None:
        """Move money; what a subclass adds comes after."""
        BODIES.append(f"abstract method {amount}")

    def move(self, to: str, amount: int) -> None:
        """Move money; decorated below, with an argument preset."""
        BODIES.append(f"partial method {amount} {to}".removesuffix(" Ada"))

    def balance(self) -> int:
        """Move money; decorated below, as properties."""
        BODIES.append("property 5")
        return 0

    move_to_ada = remit.span_type(data_risk=PAYS)(partialmethod(move, "Ada"))
    as_property = remit.span_type(data_risk=PAYS)(property(balance))
    as_cached = remit.span_type(data_risk=PAYS)(cached_property(balance))


@dataclass
class Drawer(Till):
    """A subclass that calls what it overrides."""

    def settle(self, amount: int = 5) -> None:
        """Move money through the method of the base."""
        super().settle(amount)


class Payer:
    """An object that is called to move money."""

    def __call__(self, amount: int = 5) -> None:
        """Move money."""
        BODIES.append(f"callable object {amount}")


class LatePayer:
    """An object whose call is a coroutine."""

    async def __call__(self, amount: int = 5) -> None:
        """Move money."""
        BODIES.append(f"async callable object {amount}")


def pay_to(to: str, amount: int = 5) -> None:
    """Move money; decorated below, with an argument preset."""
    BODIES.append(f"partial {amount} {to}".removesuffix(" Ada"))


@remit.span_type(data_risk=PAYS)
@singledispatch
def pay_in(amount: object) -> None:
    """Move money in a currency that nobody knows."""
    BODIES.append(f"unknown {amount}")


@pay_in.register
def _in_euros(amount: int) -> None:
    BODIES.append(f"single dispatch {amount}")


@remit.span_type(data_risk=PAYS)
def payments(amount: int = 5) -> Iterator[int]:
    """Move money, and return what tells of it."""
    BODIES.append(f"returned iterator {amount}")
    return iter([amount])


@remit.span_type(data_risk=PAYS)
@contextmanager
def paying(amount: int = 5) -> Generator[None]:
    """Move money around a block."""
    BODIES.append(f"context manager {amount}")
    yield


def pay_around() -> None:
    """Enter the context manager."""
    with paying():
        pass


def block() -> None:
    """Move money by hand."""
    with remit.span("by hand", {"amount": 5}, data_risk=PAYS):
        BODIES.append("block 5")


async def async_block() -> None:
    """Move money by hand."""
    async with remit.span("by hand", {"amount": 5}, data_risk=PAYS):
        BODIES.append("async block 5")


def in_thread() -> None:
    """Move money on another thread; raise what was raised there."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            pay()
        except (remit.errors.DeniedError, remit.errors.RunTerminated) as error:
            raised.append(error)

    thread = threading.Thread(target=remit.copy_context(work))
    thread.start()
    thread.join(60)
    if raised:
        raise raised[0]


async def in_task() -> None:
    """Move money in a task of its own."""
    await asyncio.create_task(pay_later())


async def drain() -> None:
    """Step the async generator to its end."""
    async for _ in pay_in_parts_later():
        pass


TILL: Final = Drawer()
PAYS_LATE: Final = remit.span_type(data_risk=PAYS)(LatePayer())
KINDS: Final[dict[str, Callable[[], object]]] = {
    "function": pay,
    "coroutine": lambda: asyncio.run(pay_later()),
    "generator": lambda: list(pay_in_parts()),
    "async generator": lambda: asyncio.run(drain()),
    "method": TILL.pay,
    "async method": lambda: asyncio.run(TILL.pay_later()),
    "class method": Drawer.pay_all,
    "static method": Drawer.pay_somebody,
    "abstract method": TILL.settle,
    "partial method": lambda: TILL.move_to_ada(5),
    "property": lambda: TILL.as_property,
    "cached property": lambda: Drawer().as_cached,
    "callable object": remit.span_type(data_risk=PAYS)(Payer()),
    "async callable object": lambda: asyncio.run(PAYS_LATE()),
    "partial": remit.span_type("partial", data_risk=PAYS)(partial(pay_to, "Ada")),
    "single dispatch": lambda: pay_in(5),
    "returned iterator": lambda: list(payments()),
    "context manager": pay_around,
    "agent": paying_agent,
    "async agent": lambda: asyncio.run(paying_agent_later()),
    "block": block,
    "async block": lambda: asyncio.run(async_block()),
    "function in a thread": in_thread,
    "coroutine in a task": lambda: asyncio.run(in_task()),
}
"""One try of each kind of step."""


def ran(kind: str) -> str:
    """Return what the body of a *kind* leaves in `BODIES`."""
    return f"{kind.partition(' in a ')[0].removeprefix('cached ')} 5"


def given(kind: str) -> dict[str, object]:
    """Return the payload of a step of a *kind*."""
    return {} if kind.endswith("property") else {"amount": 5}
