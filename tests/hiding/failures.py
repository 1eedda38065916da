"""Places in errors: messages, arguments, notes, causes, and what a traceback holds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from pydantic import TypeAdapter, ValidationError

import remit
from tests.hiding.table import Place, place


def failing(make: Callable[[str], BaseException]) -> Place:
    """Return a place that raises what *make* makes, in a step whose password it is."""

    @remit.span_type("failing")
    def step(password: str) -> None:
        raise make(password)

    def plant(canary: str) -> None:
        with suppress(Exception):
            step(canary)

    return plant


class OwnError(Exception):
    """An exception with a `__str__` of its own."""

    def __str__(self) -> str:
        """Show the arguments."""
        return f"own: {self.args}"


def noted(canary: str) -> BaseException:
    """Return an exception with a note."""
    error = ValueError("failed")
    error.add_note(f"the password was {canary}")
    return error


def chained(canary: str) -> BaseException:
    """Return an exception with a cause."""
    error = ValueError("failed")
    error.__cause__ = RuntimeError(canary)
    return error


def invalid(canary: str) -> BaseException:
    """Return what pydantic raises, which quotes its input."""
    try:
        TypeAdapter(int).validate_python(canary)
    except ValidationError as error:
        return error
    raise AssertionError(canary)


place("the message of an error")(failing(lambda canary: ValueError(f"wrong: {canary}!")))
place("the arguments of an error")(failing(lambda canary: ValueError("wrong", {"x": canary})))
place("an error with its own text")(failing(OwnError))
place("the key of a KeyError")(failing(KeyError))
place("the file of an OSError")(failing(lambda canary: OSError(2, "no such file", f"/{canary}")))
place("the note of an error")(failing(noted))
place("the cause of an error")(failing(chained))
place("a group of errors")(failing(lambda canary: ExceptionGroup("two", [ValueError(canary)])))
place("an error of validation")(failing(invalid))


@place("an error that repeats the text of its cause")
def repeated(canary: str) -> None:
    """The outer step never had the password."""

    @remit.span_type("inner")
    def check(password: str) -> None:
        raise ValueError(f"wrong: {password}")

    @remit.span_type("outer")
    def outer() -> None:
        try:
            check(canary)
        except ValueError as error:
            raise RuntimeError(f"could not log in: {error}") from error

    with suppress(RuntimeError):
        outer()


@place("the locals of a traceback")
def local(canary: str) -> None:
    """Only type and message of an error are recorded."""

    @remit.span_type("local")
    def step() -> None:
        held = canary
        del held
        raise ValueError

    with suppress(ValueError):
        step()
