"""One reading of a signature, for the schema and for capture."""

# The functions are data: they are read, never called, and their shape is the point of each.
# ruff: noqa: D102, D103
# mypy: disable-error-code="empty-body, name-defined"
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUndefinedVariable=false, reportUnknownParameterType=false
# pyright: reportGeneralTypeIssues=false
from __future__ import annotations

import functools
from inspect import Parameter as Declared
from typing import Annotated, Any

import pytest
from fastapi import Depends

from remit._inspect.marks import Sensitive, Skip
from remit._inspect.signature import MISSING, Parameter, read
from tests.subtests import each

pytestmark = pytest.mark.python


class Service:
    """A class with methods of each kind."""

    def method(self, a: int, *, b: str = "b") -> bool: ...

    @classmethod
    def of_class(cls, a: int) -> None: ...

    def loose(*args: int) -> None: ...


def everything(
    a: int,
    b: Annotated[Any, Skip],
    /,
    c: Gone,  # noqa: F821 - missing on purpose
    d: Any = Depends(Service),  # noqa: B008 - as FastAPI's users write it
    *args: str,
    e: Annotated[str, Sensitive("minors_data")] = "x",
    **kwargs: float,
) -> int: ...


def test_every_parameter_is_read_with_its_kind_default_and_marks() -> None:
    """In order of the signature, skipped ones left out."""
    assert read(everything, skip_first=False).parameters == (
        Parameter("a", Declared.POSITIONAL_ONLY, int, MISSING),
        Parameter(
            "c",
            Declared.POSITIONAL_OR_KEYWORD,
            MISSING,
            MISSING,
            note="annotation `Gone` cannot be resolved: no name `Gone` at run time",
        ),
        Parameter("args", Declared.VAR_POSITIONAL, str, MISSING),
        Parameter(
            "e",
            Declared.KEYWORD_ONLY,
            Annotated[str, Sensitive("minors_data")],
            "x",
            category="minors_data",
        ),
        Parameter("kwargs", Declared.VAR_KEYWORD, float, MISSING),
    )


def test_positions_are_kept_for_skipped_parameters() -> None:
    """A call binds by position, whatever is recorded."""
    reading = read(everything, skip_first=False)
    assert reading.names == ("a", None, "c", None)
    assert reading.skipped == {"b", "d"}
    assert reading.returns is int


@each(
    ("function", "names"),
    [(Service.method, ("a",)), (Service.of_class.__func__, ("a",)), (Service.loose, ())],  # type: ignore[attr-defined]  # the function inside
    ids=["self", "cls", "in args"],
)
def test_the_receiver_is_no_parameter(function: Any, names: tuple[str, ...]) -> None:
    """The arguments of a call do not carry it."""
    assert read(function, skip_first=True).names == names


def test_a_function_without_parameters_has_none_to_skip() -> None:
    """A method may forget its receiver; that is the call's trouble, not the reading's."""

    def nothing() -> None: ...

    assert read(nothing, skip_first=True).parameters == ()


def test_a_wrapper_is_read_as_what_it_wraps() -> None:
    """`functools.wraps` keeps the signature, and its names resolve where they were written."""

    def bottom(a: Service) -> Service: ...

    @functools.wraps(bottom)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return bottom(*args, **kwargs)

    reading = read(wrapper, skip_first=False)
    assert reading.names == ("a",)
    assert reading.returns is Service


def test_a_partial_has_the_rest_of_the_parameters() -> None:
    """What it holds already is not asked for."""
    assert read(functools.partial(Service.method, Service()), skip_first=False).names == ("a",)


def test_a_callable_without_a_signature_takes_anything() -> None:
    """Some builtins have none; their calls are recorded all the same."""
    reading = read(dict.update, skip_first=False)
    assert [each.name for each in reading.parameters] == ["args", "kwargs"]
    assert {each.note for each in reading.parameters} == {"method_descriptor without a signature"}
    assert reading.names == ()


@each(
    ("annotation", "category"),
    [
        pytest.param(Annotated[str, Sensitive("minors_data")], "minors_data", id="sensitive"),
        pytest.param(list[Annotated[str, Sensitive("minors_data")]], "minors_data", id="inside"),
        pytest.param(Annotated[str, Skip], "", id="a result that is to be skipped is redacted"),
        pytest.param(Annotated[str, Skip, Sensitive("minors_data")], "minors_data", id="both"),
        pytest.param(str, None, id="none"),
        pytest.param(
            "Annotated[Gone, Sensitive('minors_data')]", "minors_data", id="beside a missing name"
        ),
    ],
)
def test_the_result_has_a_category_too(annotation: object, category: str | None) -> None:
    """What comes back can be as sensitive as what goes in."""

    def function() -> None: ...

    function.__annotations__ = {"return": annotation}
    assert read(function, skip_first=False).returns_category == category


def test_a_signature_that_raises_is_no_reason_to_raise() -> None:
    """`__signature__` may be a property of a user's."""

    class Odd:
        __name__ = "odd"

        @property
        def __signature__(self) -> Any:
            raise RuntimeError

        def __call__(self) -> None: ...

    assert read(Odd(), skip_first=False).names == ()
