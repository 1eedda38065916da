"""How a call that raised has ended, in the API's words."""

from __future__ import annotations

import asyncio

import pytest

from remit._base.outcomes import is_only, status_of
from remit.errors import RunTerminated
from tests.subtests import each


class Wait(Exception):  # noqa: N818 - named as frameworks name theirs
    """A graph waits for somebody."""


class Mean(ExceptionGroup[Exception]):
    """A group that lies about its members, and notices who asks."""

    @property
    def exceptions(self) -> tuple[Exception, ...]:
        """Fail."""
        raise AssertionError


@each(
    ("error", "status"),
    [
        pytest.param(ValueError(), "failed", id="exception"),
        pytest.param(Wait(), "cancelled", id="the user's interrupt"),
        pytest.param(RunTerminated("key"), "cancelled", id="termination"),
        pytest.param(GeneratorExit(), "cancelled", id="a closed generator"),
        pytest.param(SystemExit(), "complete", id="exit"),
        pytest.param(SystemExit(3), "failed", id="exit with a code"),
        pytest.param(ExceptionGroup("", [Wait(), Wait()]), "cancelled", id="interrupts"),
        pytest.param(
            BaseExceptionGroup("", [asyncio.CancelledError(), ExceptionGroup("", [Wait()])]),
            "cancelled",
            id="groups in groups",
        ),
        pytest.param(
            ExceptionGroup("", [Wait(), ValueError()]), "failed", id="not only interrupts"
        ),
    ],
)
def test_an_interrupt_is_cancelled_and_so_is_a_group_of_nothing_else(
    error: BaseException, status: str
) -> None:
    """One failure among interrupts is a failure."""
    assert status_of(error, (Wait,)) == status


class Disguised(Exception):  # noqa: N818 - named as it is
    """One that passes for another, and notices who asks."""

    def __getattribute__(self, name: str) -> object:
        """Fail."""
        raise AssertionError(name)


def test_an_error_is_judged_by_its_class_and_not_asked() -> None:
    """As `except` does."""
    assert status_of(Disguised(), (Wait,)) == "failed"
    assert status_of(Disguised(), (Disguised,)) == "cancelled"


@each(
    ("code", "status"),
    [(None, "complete"), (0, "complete"), (False, "complete"), (1, "failed"), ("", "failed")],
)
def test_an_exit_is_judged_by_its_code(code: object, status: str) -> None:
    """As the interpreter does, which asks no object whether it is true."""
    assert status_of(SystemExit(code)) == status


def test_a_group_is_looked_into_without_running_its_code() -> None:
    """Its members are read as the interpreter reads them."""
    assert is_only(Mean("", [Wait()]), (Wait,))
