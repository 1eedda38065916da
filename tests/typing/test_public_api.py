"""What type checkers see of the public callables; checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import remit
from remit.testing import isolated
from tests.inside import Agent, FlushResult, Run, Span, Status


@remit.span_type
def bare(a: int, b: str = "") -> float:
    """Decorated without a call."""
    return a + len(b)


@remit.span_type("named", data_risk=remit.risk(allows="read_data"))
def named(a: int) -> str:
    """Decorated with a name."""
    return str(a)


@remit.span_type()
async def coroutine(a: int) -> str:
    """Decorated with an empty call."""
    return str(a)


@remit.span_type(title="Counts")
def generator(n: int) -> Iterator[int]:
    """Decorated with options only."""
    yield n


@remit.span_type
async def async_generator(n: int) -> AsyncIterator[int]:
    """Decorated bare."""
    yield n


class Service:
    """Methods of each kind."""

    @remit.span_type
    def method(self, a: int) -> str:
        """Decorated bare."""
        return str(a)

    @classmethod
    @remit.span_type
    def class_method(cls, a: int) -> str:
        """Decorated under classmethod."""
        return str(a)

    @staticmethod
    @remit.span_type("static")
    def static_method(a: int) -> str:
        """Decorated under staticmethod."""
        return str(a)


@remit.agent
def agent(question: str) -> str:
    """Decorated bare."""
    return question


@remit.agent("Named", version="1.0")
async def named_agent(question: str) -> str:
    """Decorated with a name."""
    return question


def check() -> None:
    """Assert what each expression is."""
    assert_type(bare(1, b="x"), float)
    assert_type(named(1), str)
    assert_type(generator(1), Iterator[int])
    assert_type(async_generator(1), AsyncIterator[int])
    assert_type(Service().method(1), str)
    assert_type(Service.class_method(1), str)
    assert_type(Service.static_method(1), str)
    assert_type(agent("x"), str)
    assert_type(agent.registration(), dict[str, object])
    assert_type(remit.current_run(), Run | None)
    assert_type(remit.current_span(), Span | None)
    assert_type(remit.flush(), FlushResult)
    assert_type(remit.status(), Status)
    assert_type(remit.copy_context(named)(1), str)
    with agent.run(purpose="eval") as run:
        assert_type(run, Run)
        assert_type(run.id, str | None)
    with remit.span("manual", {"a": 1}) as span:
        assert_type(span, Span)
    with remit.about(conversation="a", subject=None, on_behalf_of="b") as nothing:
        assert_type(nothing, None)
    assert_type(remit.about(conversation="a")(len)([]), int)
    plain: Agent[[str], str] = agent
    plain("x")


def check_words() -> None:
    """Assert that words are checked: mypy reports an ignore that nothing needs."""
    remit.configure(on_violation="deny", outside_run="deny", mode="local", flush_on="run")
    remit.configure(data_dir="~/data", redact=dict[str, object], redact_off=["name:token"])
    remit.configure(control_flow=KeyError, exit_timeout_s=1, outside_run=None)
    remit.configure(on_violation="deni")  # type: ignore[arg-type]
    remit.configure(outside_run="refused")  # type: ignore[arg-type]
    remit.configure(mode="lokal")  # type: ignore[arg-type]
    remit.configure(flush_on="runs")  # type: ignore[arg-type]
    remit.configure(on_violaton="deny")  # type: ignore[call-arg]
    with isolated(on_violation="deni"):  # type: ignore[arg-type]
        pass
    remit.risk(allows="read_data", forbids=("destroy_data", "update_data"), takes={"minors_data"})
    remit.risk(gives=["minors_data"], excludes="criminal_justice", classification="secret")
    remit.risk(allows="nonsense")  # type: ignore[arg-type]
    remit.risk(allows=["read_data", "nonsense"])  # type: ignore[list-item]
    remit.risk(forbids=("nonsense",))  # type: ignore[arg-type]
    remit.risk(takes="read_data")  # type: ignore[arg-type]
    remit.risk(gives="nonsense")  # type: ignore[arg-type]
    remit.risk(excludes="classification")  # type: ignore[arg-type]
    remit.risk(classification="top")  # type: ignore[arg-type]
    remit.agent(limits=remit.limits(financial_transactions=1, steps=200))
    remit.limits(steps="3")  # type: ignore[arg-type]
    remit.limits(minors_data=3)  # type: ignore[call-arg]
    remit.agent(limits={"steps": 3})  # type: ignore[call-overload]


async def check_async() -> None:
    """Assert what each awaited expression is."""
    assert_type(await coroutine(1), str)
    assert_type(await named_agent("x"), str)
    assert_type(await remit.aflush(), FlushResult)
    async with named_agent.run() as run:
        assert_type(run, Run)
    async for item in async_generator(1):
        assert_type(item, int)
