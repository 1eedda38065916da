"""Places that are filled by hand: blocks, labels, subjects, qualities, reasons."""

from __future__ import annotations

from contextlib import suppress

import remit
from remit.errors import UsageError
from tests.hiding.table import Account, desk, key, place


@place("the payload of a manual span")
def manual(canary: str) -> None:
    """Given by hand."""
    with remit.span("manual", {"password": canary, "text": key(canary)}):
        pass


@place("the result of a manual span")
def manual_result(canary: str) -> None:
    """Set by hand."""
    with remit.span("manual") as span:
        span.set_result({"password": canary, "account": Account(raw=canary)})


@place("the failure of a manual span")
def manual_failure(canary: str) -> None:
    """Said by hand."""
    with remit.span("manual") as span:
        span.fail(f"refused {key(canary)}")


@place("an error in a manual span")
def manual_error(canary: str) -> None:
    """Which quotes what its payload redacts."""
    with suppress(ValueError), remit.span("manual", {"password": canary}):
        raise ValueError(f"wrong: {canary}")


@place("the labels of a run")
def labels(canary: str) -> None:
    """Beside the words to find it by."""
    with desk.run(labels={"password": canary, "text": key(canary), "account": Account(raw=canary)}):
        pass


@place("the subject of a run")
def subject(canary: str) -> None:
    """A text that is a key by its shape is an error, which does not show it."""
    for name in ("subject", "conversation", "on_behalf_of"):
        try:
            desk.run(**{name: key(canary)})
        except UsageError as error:
            with desk.run() as run:
                run.fail(error)


@place("the failure of a run")
def run_failure(canary: str) -> None:
    """Said by hand."""
    with desk.run() as run:
        run.fail(f"refused {key(canary)}")


@place("an error that ends a run")
def run_error(canary: str) -> None:
    """A key by its shape, and a text that the run has redacted; in the error and in its cause."""
    with suppress(ValueError), desk.run():
        with remit.span("manual", {"password": canary}):
            pass
        raise ValueError(f"wrong: {canary}") from KeyError(key(canary))


@place("the name of an exception's class")
def class_of_error(canary: str) -> None:
    """A key after a letter, and a text that the run has redacted."""
    with suppress(ValueError), remit.span("manual", {"password": canary}):
        raise type(f"E{canary}", (ValueError,), {}) from type(f"E{key(canary)}", (ValueError,), {})


@place("a quality payload")
def quality(canary: str) -> None:
    """Of the run around it."""
    run = remit.current_run()
    assert run is not None
    run.record_quality("helpful", {"password": canary, "note": key(canary)})


@place("what a manual span tells of its payload")
def manual_quoting(canary: str) -> None:
    """In the reason of its failure, in words and as an error; in that of a later span."""
    with remit.span("manual", {"password": canary}) as span:
        span.fail(ValueError(f"bad {canary}"))
    with remit.span("later") as span:
        span.fail(f"the other was bad: {canary}")
    with remit.span("manual", {"password": canary}) as span:
        span.fail(f"bad {canary}")


@place("what a step tells of its arguments through the current span")
def current_quoting(canary: str) -> None:
    """By hand, in the middle of the call: why it failed."""

    @remit.span_type("telling")
    def step(password: str) -> None:
        span = remit.current_span()
        assert span is not None
        span.fail(f"bad {password}")

    step(canary)
