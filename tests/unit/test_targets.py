"""What is declared of each kind of callable: its name, its place, its docstring."""

from __future__ import annotations

import functools
import shutil
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, TypeAlias

import pytest

import remit
from remit._declare.registry import SpanType
from remit._runtime import process
from remit.errors import DeclarationError
from remit.testing import isolated
from tests.kinds import KINDS, Times, methods, triple
from tests.subtests import each

pytestmark = pytest.mark.python

Anything: TypeAlias = Any


class Documented:
    """Answer what is asked."""

    def __call__(self, question: str) -> str:  # noqa: D102 - this is what is tested
        return question


class Inheriting(Times):
    """Has its call from another class."""


class Obliging:
    """Has every attribute that it is asked for: itself."""

    def __getattr__(self, name: str) -> Anything:
        """Return itself."""
        return self

    def __call__(self, question: str) -> str:
        """Answer."""
        return question


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    """Declare in a registry of its own."""
    with isolated():
        yield


def declared(given: Anything, **options: Anything) -> SpanType:
    """Return the declaration of what was decorated last."""
    registry = process.registry()
    known = set(registry.span_types())
    remit.span_type(**options)(given)
    (new,) = set(registry.span_types()) - known
    return new


NAMES: dict[str, tuple[Callable[[], Anything], str]] = {
    "partial": (lambda: functools.partial(triple, by=3), "tests.kinds:triple"),
    "cached": (lambda: functools.cache(triple), "tests.kinds:triple"),
    "object": (lambda: Times(3), "tests.kinds:Times"),
    "object-of-a-subclass": (lambda: Inheriting(3), f"{__name__}:Inheriting"),
    "partial-of-object": (lambda: functools.partial(Times(3)), "tests.kinds:Times.__call__"),
    "bound-method": (lambda: Times(3).__call__, "tests.kinds:Times.__call__"),
    "partial-method": (
        lambda: vars(methods(lambda given: given))["thrice"],
        "tests.kinds:methods.<locals>.Methods.times",
    ),
    "obliging-object": (lambda: Obliging(), f"{__name__}:Obliging"),  # noqa: PLW0108 - as the others
    "builtin": (lambda: len, "builtins:len"),
    "builtin-method": (lambda: str.upper, "builtins:str.upper"),
    "builtin-bound-method": (lambda: [].append, "builtins:list.append"),
    "builtin-class-method": (lambda: dict.fromkeys, "builtins:dict.fromkeys"),
}


@each(("make", "name"), list(NAMES.values()), ids=list(NAMES))
def test_the_name_is_that_of_the_function_inside(make: Callable[[], Anything], name: str) -> None:
    """Of an object, that of its class; of a builtin, that of its module."""
    assert declared(make()).name == name


def test_an_object_of_the_program_itself_has_the_name_of_its_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As functions of the program have, in a spawned child too."""
    program = ModuleType("__mp_main__")
    program.__file__ = "/src/desk.py"
    monkeypatch.setitem(sys.modules, "__mp_main__", program)
    exec("class Step:\n    def __call__(self): ...\n", vars(program))
    assert declared(vars(program)["Step"]()).name == "desk:Step"


@each(
    ("given", "line"),
    [
        pytest.param(Times(3), Times.__call__.__code__.co_firstlineno, id="object"),
        pytest.param(functools.partial(triple), triple.__code__.co_firstlineno, id="partial"),
        pytest.param(functools.cache(triple), triple.__code__.co_firstlineno, id="cached"),
    ],
)
def test_the_place_is_where_the_code_stands(given: Anything, line: int) -> None:
    """For messages, and to tell a reload from another function."""
    found = declared(given)
    assert found.file.endswith("kinds.py")
    assert found.line == line


@each(
    ("given", "doc"),
    [
        pytest.param(Times(3), "Multiply.", id="call"),
        pytest.param(Documented(), "Answer what is asked.", id="class"),
        pytest.param(functools.partial(triple), "Multiply.", id="partial"),
        pytest.param(lambda: 1, None, id="none"),
    ],
)
def test_the_docstring_is_that_of_the_call(given: Anything, doc: str | None) -> None:
    """Without one, an object has that of its class."""
    assert declared(given).doc == doc


class Lazy:
    """A text that is translated when it is shown."""

    def __str__(self) -> str:
        """Translate."""
        raise AssertionError


class Answering:
    """Has every attribute that it is asked for: something else."""

    def __getattr__(self, name: str) -> Anything:
        """Return what nobody can use."""
        return Lazy()

    def __call__(self, question: str) -> str:
        """Answer."""
        return question


def _with_lazy_docstring() -> None: ...


_with_lazy_docstring.__doc__ = Lazy()  # type: ignore[assignment] # what people write


@pytest.mark.parametrize(
    ("given", "doc", "name"),
    [
        pytest.param(_with_lazy_docstring, None, f"{__name__}:_with_lazy_docstring", id="lazy"),
        pytest.param(Answering(), "Answer.", f"{__name__}:Answering", id="every-attribute"),
    ],
)
def test_what_is_no_text_is_no_docstring_and_no_name(
    given: Anything, doc: str | None, name: str
) -> None:
    """It is neither shown nor translated, and registered without it."""
    found = declared(given)
    assert (found.doc, found.name) == (doc, name)
    assert remit.agent(given).registration()


def test_an_object_of_the_program_itself_may_have_every_attribute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its module is not asked of itself."""
    monkeypatch.setattr(Answering, "__module__", "__mp_main__")
    assert declared(Answering()).name.endswith(":Answering")


def test_half_a_surrogate_pair_in_a_name_is_spelt_out() -> None:
    """No encoder takes it."""

    def step() -> None: ...

    step.__qualname__ = "st\ud800ep"
    assert declared(step).name == f"{__name__}:st\\ud800ep"
    assert remit.agent(step).registration()


def test_an_agent_has_the_description_of_its_object() -> None:
    """And a name for people made of the name of its class."""
    version: Anything = remit.agent(Documented()).registration()["agent_version"]
    assert (version["name"], version["description"]) == ("Documented", "Answer what is asked.")


@each("kind", ["function", "partial", "object", "bound-method", "cached"])
def test_an_agent_may_name_each_kind_of_step(kind: str) -> None:
    """By what the decorator returned."""
    with isolated():
        step = KINDS[kind].make(remit.span_type("step of another package"))
        agent: Anything = remit.agent(span_types=[step])(triple)
        entries = agent.registration()["agent_schema_version"]["span_type_schemas"]
    assert "step of another package" in {each["name"] for each in entries}


def test_two_builtins_with_one_name_are_an_error() -> None:
    """They have no place by which one could be the other again."""
    remit.span_type("size")(len)
    with pytest.raises(DeclarationError, match="two functions have the name 'size'"):
        remit.span_type("size")(abs)


def test_a_mistake_names_a_builtin_too() -> None:
    """It has no file to show."""
    with pytest.raises(DeclarationError, match=r"on builtins:len \(built in\): title is"):
        remit.span_type(title=5)(len)  # type: ignore[call-overload] # this is what is tested


@each(
    ("given", "names"),
    [
        pytest.param(functools.partial(triple, 2), "by, return", id="partial"),
        pytest.param(Times(3), "a, return", id="object"),
        pytest.param(max, "args, kwargs, return", id="no-signature"),
    ],
)
def test_a_wrong_capture_names_what_a_call_takes(given: Anything, names: str) -> None:
    """The parameters that are left, as its caller sees them."""
    with pytest.raises(DeclarationError, match=f"expected one of {names}"):
        remit.span_type(capture={"nobody": True})(given)


def test_a_function_of_a_library_is_a_step_of_whoever_decorates_it() -> None:
    """What it may do stands in the agent's registration, before it is called for the first time."""
    may = remit.risk(allows="destroy_data")
    remove: Anything = remit.span_type("remove", data_risk=may)(shutil.move)
    step: Anything = remit.span_type("tell")(functools.partial(print, flush=True))
    agent: Anything = remit.agent(triple)
    entries = agent.registration()["agent_schema_version"]["span_type_schemas"]
    assert {"remove", "tell"} <= {each["name"] for each in entries}
    elsewhere: Anything = ModuleType("elsewhere")
    exec("def copy(step): return step.__copy__()", elsewhere.__dict__)
    for original in (remove, step):
        elsewhere.copy(original)
    again = agent.registration()["agent_schema_version"]["span_type_schemas"]
    assert again == entries


def test_decorating_a_copy_declares_nothing_new() -> None:
    """Copies are made at run time; the registration must not change with them."""
    step: Anything = remit.span_type(Times(3))
    before = process.registry().version
    for _ in range(3):
        step.__copy__()
    assert process.registry().version == before


def test_an_object_that_has_every_attribute_is_called_as_it_is() -> None:
    """As proxies to remote objects are, which answer whatever they are asked."""
    step: Anything = remit.span_type(Obliging())

    @remit.agent
    def answer() -> str:
        return str(step("a"))

    with isolated() as sink:
        assert answer() == "a"
    assert sink.spans()[1].payload == {"args": ["a"], "kwargs": {}}
