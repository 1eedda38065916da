"""pytest: decorated fixtures and tests of every kind are set up as the bare ones are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeAlias

import pytest

import remit
from remit.errors import DeclarationError
from remit.testing import RecordingSink, isolated
from tests.desk import agent

Anything: TypeAlias = Any
closed: list[str] = []


@pytest.fixture
def recorder() -> Iterator[RecordingSink]:
    """Record into memory, in a run."""
    with isolated() as sink, agent.run():
        yield sink


@pytest.fixture
@remit.span_type
def order(recorder: RecordingSink) -> int:
    """Return how many runs there are."""
    return len(recorder.runs)


@pytest.fixture
@remit.span_type
def shop(order: int) -> Iterator[str]:
    """Open a shop, and close it after the test."""
    yield f"shop {order}"
    closed.append("shop")


@pytest.fixture(params=["a", "b"])
@remit.span_type
def letter(request: pytest.FixtureRequest) -> str:
    """Return each letter in turn."""
    return str(request.param)


@pytest.fixture
@remit.span_type
async def stream(order: int) -> AsyncIterator[int]:
    """Open a stream, and close it after the test."""
    yield order
    closed.append("stream")


def test_a_fixture_is_recorded_with_what_it_asks_for(
    recorder: RecordingSink, order: int, shop: str
) -> None:
    """A plain one is complete, one that yields is still open."""
    assert (order, shop) == (1, "shop 1")
    statuses = {span.name.rpartition(":")[2]: span.status for span in recorder.spans()}
    assert statuses == {"order": "complete", "shop": "active"}


def test_a_fixture_with_parameters_has_each(recorder: RecordingSink, letter: str) -> None:
    """`request` reaches the function inside."""
    assert letter in "ab"
    assert recorder.spans("letter")[0].result == {"result": letter}


async def test_an_async_fixture_is_awaited(recorder: RecordingSink, stream: int) -> None:
    """It is an async generator function to whoever asks."""
    assert stream == 1
    assert recorder.spans("stream")[0].status == "active"


def test_fixtures_that_yield_were_closed() -> None:
    """After their tests, in the order of this file."""
    assert closed == ["shop", "stream"]


@remit.span_type
def test_a_decorated_test_is_a_test() -> None:
    """Pytest finds it and runs it."""


class TestMethods:
    """A class of tests with decorated methods."""

    @remit.span_type
    def test_a_decorated_method_is_a_test(self, order: int) -> None:
        """Fixtures are found by the signature."""
        assert order == 1


def test_above_a_fixture_the_decorator_is_told_where_to_stand() -> None:
    """Pytest runs the function that it keeps, so nothing would be recorded."""
    fixture: Anything = pytest.fixture(lambda: 1)
    with isolated(), pytest.raises(DeclarationError, match=r"put it below @pytest\.fixture"):
        remit.span_type(fixture)
