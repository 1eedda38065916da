"""The object or class that a call is made on is recorded nowhere, whatever its author calls it."""

# pyright: reportSelfClsParameterName=false
# What people call a first parameter is what is tested.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import pytest

import remit
from remit.testing import isolated
from tests.subtests import each

pytestmark = pytest.mark.python
Anything: TypeAlias = Any


@dataclass
class Patient:
    """An object whose fields are nobody's business."""

    name: str = "Ada"

    @remit.span_type
    def visit(this, day: str) -> None:  # noqa: N805 - what people write
        """Bind as a method does."""

    @remit.span_type
    def call(*given: Anything) -> None:
        """Take the object among the rest."""

    @classmethod
    @remit.span_type
    def admit(k, day: str) -> None:  # noqa: N804 - what people write
        """Bind to the class."""

    @remit.span_type
    @classmethod
    def discharge(k, day: str) -> None:  # noqa: N804 - what people write
        """Bind to the class."""

    @staticmethod
    @remit.span_type
    def compare(self: str, other: str) -> None:  # noqa: PLW0211 - what people write
        """Bind to nothing."""

    @remit.span_type
    @staticmethod
    def weigh(self: str, other: str) -> None:  # noqa: PLW0211 - what people write
        """Bind to nothing."""

    @property
    @remit.span_type
    def age(this) -> int:  # noqa: N805 - what people write
        """Read."""
        return 7

    @cached_property
    @remit.span_type
    def height(this) -> int:  # noqa: N805 - what people write
        """Read once."""
        return 7


class Ward(type):
    """A class of classes."""

    @remit.span_type
    def open(ward, day: str) -> None:  # noqa: N804 - what people write
        """Bind to the class."""


class East(metaclass=Ward):
    """A class with a method of its own class."""


@remit.span_type
def plain(self: str, other: str) -> None:
    """Stand in no class."""


def lending() -> Anything:
    """Return a class that was given a function from elsewhere."""

    @remit.span_type
    def lent(self: object, day: str) -> None:
        """Stand in no class, and be put into one."""

    class Lending:
        taken = lent

    Lending.given = lent  # type: ignore[attr-defined] # what people write
    return Lending()


def local() -> Anything:
    """Return a class that no module holds."""

    class Local:
        @remit.span_type
        def visit(this, day: str) -> None:  # noqa: N805 - what people write
            """Bind as a method does."""

        @classmethod
        @remit.span_type
        def admit(cls, day: str) -> None:
            """Bind to the class."""

        @staticmethod
        @remit.span_type
        def compare(one: str, other: str) -> None:
            """Bind to nothing."""

        @property
        @remit.span_type
        def age(self) -> int:
            """Read."""
            return 7

    return Local


DAY = {"day": "monday"}
BOTH = {"self": "a", "other": "b"}
ADA: Anything = Patient()
CALLS: dict[str, tuple[Callable[[], object], dict[str, Anything]]] = {
    "method": (lambda: ADA.visit("monday"), DAY),
    "method-of-the-class": (lambda: Patient.visit(ADA, "monday"), DAY),
    "all-arguments": (lambda: ADA.call("a"), {"given": ["a"]}),
    "class-method-above": (lambda: Patient.admit("monday"), DAY),
    "class-method-under": (lambda: ADA.discharge("monday"), DAY),
    "static-method-above": (lambda: ADA.compare("a", "b"), BOTH),
    "static-method-under": (lambda: Patient.weigh("a", "b"), BOTH),
    "property": (lambda: ADA.age, {}),
    "cached-property": (lambda: Patient().height, {}),
    "metaclass": (lambda: East.open("monday"), DAY),
    "function": (lambda: plain("a", "b"), BOTH),
    "function-put-into-a-class": (lambda: lending().given("monday"), DAY),
    "function-taken-into-a-body": (lambda: lending().taken("monday"), DAY),
    "local-method": (lambda: local()().visit("monday"), DAY),
    "local-class-method": (lambda: local().admit("monday"), DAY),
    "local-static-method": (lambda: local()().compare("a", "b"), {"one": "a", "other": "b"}),
    "local-property": (lambda: local()().age, {}),
}


@each(("call", "payload"), list(CALLS.values()), ids=list(CALLS))
def test_the_receiver_is_no_argument_and_every_argument_is_one(
    call: Callable[[], object], payload: dict[str, Anything]
) -> None:
    """What is bound decides; the name of the parameter does not. The schema says the same."""
    with isolated() as recorder:

        @remit.agent
        def agent() -> None: ...

        with agent.run():
            call()
        (span,) = recorder.spans()
        registered: Anything = agent.registration()["agent_schema_version"]
    assert span.payload == payload
    (entry,) = [each for each in registered["span_type_schemas"] if each["name"] == span.name]
    assert set(entry["params_schema"].get("properties", {})) == set(payload)


def test_a_registration_before_the_first_call_says_what_the_calls_will() -> None:
    """A class inside a function cannot be found by then: the name decides, for both."""
    with isolated() as recorder:

        @remit.agent
        def agent() -> None: ...

        made = local()
        registered: Anything = agent.registration()["agent_schema_version"]
        with agent.run():
            made().visit("monday")
            made.admit("monday")
            made.compare("a", "b")
        entries = {each["name"]: each for each in registered["span_type_schemas"]}
        assert recorder.spans()[0].payload == DAY
        for span in recorder.spans():
            properties = entries[span.name]["params_schema"].get("properties", {})
            assert set(properties) == set(span.payload or {})


def test_a_function_that_a_framework_keeps_as_its_original_is_none_of_its_methods() -> None:
    """As Celery has it, which puts the task's function beside into the class of the task."""
    with isolated() as recorder:

        @remit.span_type
        def task(self: str) -> None: ...

        @remit.agent
        def agent() -> None: ...

        type("Task", (), {"run": staticmethod(task), "__wrapped__": task})
        with agent.run():
            task("a")
    assert recorder.spans()[0].payload == {"self": "a"}
