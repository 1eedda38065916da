"""Laws of schemas."""

from __future__ import annotations

import datetime as dt
import decimal
import inspect
import typing
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import GenericAlias
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import Field, SecretStr

from remit import Sensitive
from tests.data.redaction import redact
from tests.data.signatures import Color, Customer, Json, Movie, Order, Partial, Plain, Point, Tree
from tests.inside import MISSING, CallKind, canonical, params_schema, read, result_schema

pytestmark = pytest.mark.python
LEAVES: tuple[object, ...] = (
    str,
    int,
    float,
    bool,
    None,
    bytes,
    Any,
    object,
    decimal.Decimal,
    dt.datetime,
    uuid.UUID,
    SecretStr,
    Color,
    Customer,
    Json,
    Movie,
    Order,
    Partial,
    Plain,
    Point,
    Tree,
    Callable[[int], str],
    Annotated[int, Field(ge=1)],
    Annotated[str, Sensitive("minors_data")],
    typing.Literal["b", "a", 1],
    typing.TypeVar("T"),
    MISSING,
    "Gone",
    5,
    ...,
)


OF_ONE: tuple[type, ...] = (list, set, deque, Sequence, Iterator)
OF_TWO: tuple[type, ...] = (dict, Mapping)


def generic(origin: type, *args: object) -> object:
    """Return `origin[args]`."""
    return GenericAlias(origin, args)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return types that hold others."""
    return st.one_of(
        st.builds(generic, st.sampled_from(OF_ONE), inner),
        st.builds(generic, st.sampled_from(OF_TWO), st.just(str), inner),
        st.builds(generic, st.just(tuple), inner, st.just(...)),
        st.builds(generic, st.just(tuple), inner, inner),
        st.lists(inner.filter(_may_be_in_a_union), min_size=1, max_size=4).map(_union),
    )


def _may_be_in_a_union(annotation: object) -> bool:
    return annotation not in (5, ..., MISSING)


def _union(members: Sequence[object]) -> object:
    return typing.Union[tuple(members)]  # noqa: UP007 - the other spelling takes no tuple


ANNOTATIONS = st.recursive(st.sampled_from(LEAVES), containers, max_leaves=5)
DEFAULTS = st.sampled_from((MISSING, None, 1, "x", b"x", {"a"}, object(), Color.RED, [Plain()]))
KINDS = st.sampled_from(
    (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )
)


@st.composite
def functions(draw: st.DrawFn) -> Callable[..., object]:
    """Draw a function with any signature."""
    drawn = draw(st.lists(st.tuples(KINDS, ANNOTATIONS, DEFAULTS), max_size=4))
    parameters = [
        inspect.Parameter(f"p{number}", kind, annotation=annotation, default=default)
        for number, (kind, annotation, default) in enumerate(
            sorted(drawn, key=lambda each: (each[0], each[2] is not MISSING))
        )
    ]
    if draw(st.booleans()):
        parameters.insert(
            len([each for each in parameters if each.kind != inspect.Parameter.KEYWORD_ONLY]),
            inspect.Parameter(
                "args", inspect.Parameter.VAR_POSITIONAL, annotation=draw(ANNOTATIONS)
            ),
        )
    signature = inspect.Signature(
        sorted(parameters, key=lambda each: each.kind),
        return_annotation=draw(ANNOTATIONS),
        __validate_parameters__=False,
    )

    def function() -> None: ...

    function.__signature__ = signature  # type: ignore[attr-defined]  # what inspect looks at
    return function


@given(functions(), st.sampled_from(CallKind))
def test_no_signature_makes_a_schema_raise(function: Callable[..., object], kind: CallKind) -> None:
    """The schemas are valid, plain JSON, and name exactly the recorded parameters."""
    reading = read(function, skip_first=False)
    params = params_schema(reading, redact=redact)
    result = result_schema(reading, kind, redact=redact)
    assert set(params["properties"]) == {each.name for each in reading.parameters}
    for schema in (params, result):
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert canonical(schema)


@given(functions(), st.sets(st.sampled_from(["p0", "p1", "p2", "p3", "args"])))
def test_an_override_keeps_the_properties_of_a_payload(
    function: Callable[..., object], named: set[str]
) -> None:
    """It may name any parameters: those have its schemas, the others their own."""
    reading = read(function, skip_first=False)
    own = params_schema(reading, redact=redact)
    declared = {"properties": {name: {"title": "Declared"} for name in named}}
    schema = params_schema(reading, redact=redact, declared=declared)
    Draft202012Validator.check_schema(schema)
    assert schema["properties"] == {
        name: {"title": "Declared"} if name in named else each
        for name, each in own["properties"].items()
    }


@given(
    st.lists(st.sampled_from((str, int, float, None, list[int], Point, Color)), min_size=1),
    st.randoms(use_true_random=False),
)
def test_a_union_in_any_order_has_one_schema(members: list[object], random: Any) -> None:
    """`typing` keeps the order of whichever equal union was made first."""

    def schema() -> object:
        def function() -> None: ...

        function.__annotations__ = {"a": _union(members), "return": list[Any]}
        parameter = inspect.Parameter(
            "a", inspect.Parameter.KEYWORD_ONLY, annotation=_union(members)
        )
        function.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]  # what inspect looks at
        return params_schema(read(function, skip_first=False), redact=redact)

    before = schema()
    random.shuffle(members)
    assert canonical(schema()) == canonical(before)


@given(st.lists(st.text(max_size=5), min_size=1, max_size=6, unique=True), st.randoms())
def test_a_literal_in_any_order_has_one_schema(values: list[str], random: Any) -> None:
    """Sets of values have no order at all."""

    def schema() -> object:
        def function() -> None: ...

        literal: Any = typing.Literal
        annotation = generic(list, literal[tuple(values)])
        parameter = inspect.Parameter("a", inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
        function.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]  # what inspect looks at
        return params_schema(read(function, skip_first=False), redact=redact)

    before = schema()
    random.shuffle(values)
    assert canonical(schema()) == canonical(before)
