"""Places in errors: messages, arguments, notes, causes, and what a traceback holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from pydantic import TypeAdapter, ValidationError

import remit
from tests.hiding.table import Place, desk, place


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


@remit.span_type("kept", data_risk=remit.risk(classification="restricted"))
def kept(number: int, canary: list[str]) -> None:
    """Fail, and say more than any argument does."""
    raise LookupError(f"record {number} of {canary[0][::-1]}")


@remit.span_type("kept_items", capture=False)
def kept_items(canary: list[str]) -> Iterator[int]:
    """Fail in the middle of a stream."""
    yield 1
    raise LookupError(f"record of {canary[0][::-1]}")


@remit.span_type("unkept_result", capture={"return": False})
def unkept_result(place: list[str]) -> None:
    """Fail, where only the result is not to be recorded."""
    raise LookupError(f"record of {place[0][::-1]}")


@remit.span_type("around")
def around(step: Callable[[], object]) -> object:
    """Let the error of another step pass."""
    return step()


def reversed_in(canary: str) -> list[str]:
    """Return what a step turns around: its arguments do not have the canary."""
    return [canary[::-1]]


@place("an error of a restricted step, and of those around it")
def restricted_error(canary: str) -> None:
    """What an error says is part of what the step gives."""
    with suppress(LookupError):
        around(lambda: around(lambda: kept(1, reversed_in(canary))))


@place("an error of a stream that is not to be recorded")
def error_in_stream(canary: str) -> None:
    """Taken by a step that records everything."""
    with suppress(LookupError):
        around(lambda: list(kept_items(reversed_in(canary))))


@place("an error where the result is not to be recorded")
def error_for_result(canary: str) -> None:
    """In a block around it too, which tells the reason by hand, and in the run."""
    run = remit.current_run()
    assert run is not None
    with remit.span("manual") as span:
        try:
            unkept_result(reversed_in(canary))
        except LookupError as error:
            span.fail(f"gave up: {error}")
            run.fail(f"gave up: {error}")


@place("an error that repeats the text of an earlier one, without a cause")
def later_error(canary: str) -> None:
    """Raised when the other is forgotten."""

    @remit.span_type("check")
    def check(password: str) -> None:
        raise ValueError(f"wrong: {password}")

    @remit.span_type("later")
    def later() -> None:
        said = ""
        try:
            check(canary)
        except ValueError as error:
            said = str(error)
        raise RuntimeError(f"later: {said}")

    with suppress(RuntimeError):
        later()


@place("an error that quotes what another step gave")
def quoted_result(canary: str) -> None:
    """The result of the other step is redacted."""

    @remit.span_type("log_in")
    def log_in() -> dict[str, str]:
        return {"token": canary}

    @remit.span_type("use")
    def use(holder: list[dict[str, str]]) -> None:
        raise ValueError(f"refused: {holder[0]['token']}")

    with suppress(ValueError):
        use([log_in()])


@place("an error that leaves a run inside another run")
def error_of_inner_run(canary: str) -> None:
    """The outer run never had the password."""

    @remit.span_type("outer_step")
    def outer() -> None:
        with desk.run():
            raise_in_step(canary)

    with suppress(ValueError):
        outer()


@place("an error that ends a run, told by hand")
def told_reason(canary: str) -> None:
    """Of a step in it."""
    with desk.run() as run:
        try:
            raise_in_step(canary)
        except ValueError as error:
            run.fail(str(error))


@remit.span_type("raise_in_step")
def raise_in_step(password: str) -> None:
    """Fail and quote it."""
    raise ValueError(f"wrong: {password}")
