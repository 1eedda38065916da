"""What is registered is what is recorded: payloads match their schemas, for values of any type."""

from __future__ import annotations

import datetime as dt
import decimal
import inspect
import json
import re
import typing
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from types import GenericAlias, MappingProxyType
from typing import Annotated, Any, cast

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validators
from pydantic import Field, SecretStr

from remit import Sensitive
from tests.data.redaction import redact
from tests.data.signatures import (
    Access,
    Cat,
    Checked,
    Color,
    Customer,
    Dog,
    Event,
    Ids,
    Json,
    Level,
    Line,
    Mixed,
    Order,
    Page,
    Plain,
    Point,
    Seat,
    Ticket,
)
from tests.data.signatures_of_libraries import Rectangle, Renamed, Table, Title
from tests.inside import (
    MISSING,
    CallKind,
    Parameter,
    Rules,
    SignatureInfo,
    Stream,
    params_schema,
    plan_of,
    result_schema,
)

pytestmark = pytest.mark.python
RULES = Rules(1 << 20)
MARKER = "$remit"
EXACT = 2**53
NUMBER = re.compile(r"-?(0|[1-9][0-9]*|0x[0-9a-f]+)", re.ASCII)
NO_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})


def _tolerant() -> Any:
    """Return a checker that does not judge markers, nor numbers that JSON cannot hold."""

    def lenient(check: Any) -> Any:
        def checked(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
            if not _is_substitute(instance):
                yield from check(validator, value, instance, schema) or ()

        return checked

    checks = cast("Mapping[str, Any]", Draft202012Validator.VALIDATORS)
    jsonschema: Any = validators
    return jsonschema.extend(
        Draft202012Validator, {name: lenient(check) for name, check in checks.items()}
    )


def _is_substitute(instance: object) -> bool:
    if isinstance(instance, dict):
        return MARKER in instance
    if not isinstance(instance, str):
        return False
    return instance in NO_NUMBERS or (
        NUMBER.fullmatch(instance) is not None and abs(int(instance, 0)) > EXACT
    )


TOLERANT = _tolerant()

INTEGERS = st.integers() | st.integers(min_value=EXACT - 2, max_value=EXACT + 2)
TEXTS = st.text(max_size=12)
SMALL = 4
"""Items of a container, at most."""

Case = tuple[Any, st.SearchStrategy[Any]]

LEAVES: tuple[Case, ...] = (
    (str, TEXTS),
    (int, INTEGERS),
    (float, st.floats()),
    (bool, st.booleans()),
    (None, st.none()),
    (bytes, st.binary(max_size=8)),
    (Any, TEXTS | INTEGERS | st.just(Plain())),
    (MISSING, TEXTS | st.lists(INTEGERS, max_size=3)),
    (complex, st.complex_numbers()),
    (decimal.Decimal, st.decimals()),
    (dt.datetime, st.datetimes()),
    (dt.timedelta, st.timedeltas()),
    (uuid.UUID, st.uuids()),
    (SecretStr, TEXTS.map(SecretStr)),
    (Annotated[str, Sensitive()], TEXTS),
    (Annotated[int, Field(ge=0)], st.integers(min_value=0)),
    (typing.Literal["a", 1], st.sampled_from(["a", 1])),
    (Color, st.sampled_from(Color)),
    (Level, st.sampled_from(Level)),
    (Mixed, st.sampled_from(Mixed)),
    (Access, st.integers(min_value=0, max_value=3).map(Access)),
    (Point, st.builds(Point, INTEGERS, st.floats())),
    (Line, st.builds(Line, article=TEXTS, count=INTEGERS)),
    (Seat, st.builds(Seat, INTEGERS)),
    (Cat, st.builds(Cat, kind=st.just("cat"), lives=INTEGERS)),
    (Cat | Dog, st.builds(Dog, kind=st.just("dog"), breed=TEXTS)),
    (Checked, st.builds(Checked, a=INTEGERS, b=TEXTS)),
    (Ids, st.lists(INTEGERS, max_size=SMALL).map(Ids)),
    (Page[int], st.builds(Page[int], items=st.lists(INTEGERS, max_size=SMALL), total=INTEGERS)),
    (Event, st.builds(Event, TEXTS, st.none() | st.builds(Seat, INTEGERS))),
    (Ticket, st.builds(Ticket, st.builds(Seat, INTEGERS), st.decimals(), TEXTS)),
    (Customer, st.builds(Customer, fullName=st.text(min_size=1, max_size=5))),
    (Json, st.recursive(TEXTS | st.none(), lambda each: st.lists(each, max_size=3), max_leaves=5)),
    (set[int], st.sets(INTEGERS, max_size=SMALL)),
    (frozenset[SecretStr], st.frozensets(TEXTS.map(SecretStr), max_size=SMALL)),
    (set[Color | Point], st.sets(st.sampled_from(Color) | st.just(Point(1)), max_size=SMALL)),
    (Title, TEXTS.map(Title)),
    (Table[int], st.dictionaries(TEXTS, INTEGERS, max_size=SMALL).map(Table)),
    (Counter[str], st.dictionaries(TEXTS, INTEGERS, max_size=SMALL).map(Counter)),
    (MappingProxyType[str, int], st.just(MappingProxyType({"a": 1}))),
    (Fraction, st.fractions()),
    (Rectangle, st.builds(Rectangle, width=st.floats())),
    (Renamed, st.builds(Renamed, Alpha=INTEGERS, x=INTEGERS)),
    (httpx.Client, st.just(object())),
    (Plain, st.builds(Plain)),
    (Callable[[int], str], st.just(print)),
)  # fmt: skip


def order(lines: list[Line], total: decimal.Decimal) -> Order:
    """Return an order whose total is known."""
    made = Order(1, lines)
    made.total = total
    return made


def containers(inner: st.SearchStrategy[Case]) -> st.SearchStrategy[Case]:
    """Return containers of what *inner* draws, with their values."""

    def of(origin: type, make: Callable[[list[Any]], Any]) -> st.SearchStrategy[Case]:
        return inner.map(
            lambda case: (
                GenericAlias(origin, (case[0],)),
                st.lists(case[1], max_size=SMALL).map(make),
            )
        )

    mappings = inner.map(
        lambda case: (
            GenericAlias(dict, (str, case[0])),
            st.dictionaries(TEXTS, case[1], max_size=SMALL),
        )
    )
    unions = st.tuples(inner, inner).map(
        lambda pair: (typing.Union[pair[0][0], pair[1][0]], pair[0][1] | pair[1][1])  # noqa: UP007 - made at run time
    )
    orders = st.just(
        (
            Order,
            st.builds(
                order, st.lists(st.builds(Line, article=TEXTS), max_size=SMALL), st.decimals()
            ),
        )
    )
    return st.one_of(
        of(list, list), of(deque, deque), of(Sequence, tuple), mappings, unions, orders
    )


CASES = st.recursive(
    st.sampled_from([case for case in LEAVES if case[0] is not MISSING]), containers, max_leaves=4
) | st.sampled_from(LEAVES)


def reading_of(annotation: object, kind: Any, *, name: str = "x") -> SignatureInfo:
    """Return the reading of a function with one parameter that returns the same type."""
    names = (name,) if kind is inspect.Parameter.POSITIONAL_OR_KEYWORD else ()
    parameter = Parameter(name, kind, annotation, MISSING)
    return SignatureInfo(names, (parameter,), frozenset(), annotation)


@given(CASES, st.data())
def test_arguments_match_the_schema_of_the_parameters(case: Case, data: st.DataObject) -> None:
    """They are given by position, as `*args` and as `**kwargs`."""
    annotation, values = case
    value = data.draw(values)
    for kind, args, kwargs in (
        (inspect.Parameter.POSITIONAL_OR_KEYWORD, (value,), {}),
        (inspect.Parameter.VAR_POSITIONAL, (value, value), {}),
        (inspect.Parameter.VAR_KEYWORD, (), {"a": value}),
    ):
        reading = reading_of(annotation, kind)
        payload = json.loads(plan_of(reading).params(args, cast("Any", kwargs), RULES))
        schema = params_schema(reading, redact=redact)
        assert payload.keys() == schema["properties"].keys()
        TOLERANT(schema).validate(payload)


@given(CASES, st.data())
def test_a_value_that_is_returned_matches_the_schema_of_the_result(
    case: Case, data: st.DataObject
) -> None:
    """Mapping-like or not."""
    annotation, values = case
    value = data.draw(values)
    reading = reading_of(annotation, inspect.Parameter.KEYWORD_ONLY)
    payload = json.loads(plan_of(reading).result(value, RULES))
    TOLERANT(result_schema(reading, CallKind.FUNCTION, redact=redact)).validate(payload)


@given(CASES, st.data())
def test_a_streams_items_match_the_schema_of_the_result(case: Case, data: st.DataObject) -> None:
    """So does a stream without items."""
    annotation, values = case
    returns = MISSING if annotation is MISSING else GenericAlias(Iterator, (annotation,))
    reading = reading_of(returns, inspect.Parameter.KEYWORD_ONLY)
    stream = Stream(RULES, plan_of(reading))
    items = data.draw(st.lists(values, max_size=SMALL))
    for item in items:
        stream.add(item)
    payload = json.loads(stream.payload(1.5 if items else None))
    TOLERANT(result_schema(reading, CallKind.GENERATOR, redact=redact)).validate(payload)
