"""The quick way from arguments to a payload and the walk come to the same bytes, for any call."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inside import MISSING, Parameter, Rules, SignatureInfo, plan_of

pytestmark = pytest.mark.python
Kind = inspect._ParameterKind  # noqa: SLF001 - the kinds have no other name as a type
NAMES = ("a", "b", "limit", "args", "password", "__init__", "__module__")
KINDS = (
    *(Kind.POSITIONAL_ONLY, Kind.POSITIONAL_OR_KEYWORD, Kind.POSITIONAL_OR_KEYWORD),
    *(Kind.VAR_POSITIONAL, Kind.KEYWORD_ONLY, Kind.VAR_KEYWORD),
)
MANY = (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD)
BY_POSITION = (Kind.POSITIONAL_ONLY, Kind.POSITIONAL_OR_KEYWORD)


class Name(str):
    """A text of a class of its own, as a keyword may be."""

    __slots__ = ()


PLAIN = st.sampled_from([None, True, 7, 0.5, "", "order-7"])
ODD = st.sampled_from(
    [
        *(2**53, 2**53 + 1, -(2**60), float("nan"), float("-inf"), "\ud800", "x=1", "pwd=hunter2"),
        *("a text of more than sixteen characters", "sk-ant-REDACTED"),
        *(Name("name"), [1, "b"], {"token": "t-1234"}, (), b"raw"),
    ]
)
VALUES = st.one_of(PLAIN, PLAIN, PLAIN, ODD)


@st.composite
def readings(draw: st.DrawFn) -> SignatureInfo:
    """Draw a signature; some of its parameters are never recorded."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4))
    kinds = sorted(draw(st.sampled_from(KINDS)) for _ in names)
    rows = [
        (name, kind, draw(st.integers(0, 4)) == 0)
        for name, kind in zip(names, kinds, strict=True)
        if kind not in MANY or kinds.count(kind) == 1
    ]
    return SignatureInfo(
        names=tuple(None if skip else name for name, kind, skip in rows if kind in BY_POSITION),
        parameters=tuple(
            Parameter(name, kind, MISSING, default=draw(defaults(kind)))
            for name, kind, skip in rows
            if not skip
        ),
        skipped=frozenset(name for name, _, skip in rows if skip),
        returns=MISSING,
        positions_known=draw(st.integers(0, 4)) > 0,
    )


def defaults(kind: object) -> st.SearchStrategy[object]:
    """Return what a parameter may have for a default."""
    return (
        st.just(MISSING) if kind in MANY else st.one_of(st.just(MISSING), st.just(MISSING), VALUES)
    )


@st.composite
def calls(draw: st.DrawFn) -> tuple[SignatureInfo, tuple[object, ...], Mapping[str, object]]:
    """Draw a signature and a call of it, which mostly fits."""
    reading = draw(readings())
    surplus = draw(st.sampled_from([0, 0, 1]))
    args = draw(st.lists(VALUES, max_size=len(reading.names) + surplus))
    names = [each.name for each in reading.parameters] + sorted(reading.skipped)
    rest = [name for name in names if name not in reading.names[: len(args)]]
    strays = st.sampled_from([*names, *NAMES, Name("a")])
    keywords = st.sampled_from(rest) if rest else strays
    kwargs = draw(st.dictionaries(st.one_of(keywords, keywords, strays), VALUES, max_size=4))
    return reading, tuple(args), kwargs


@given(calls())
def test_what_is_bound_quickly_is_what_the_walk_binds(
    call: tuple[SignatureInfo, tuple[object, ...], Mapping[str, object]],
) -> None:
    """The call may fit the signature or not; the counts agree too."""
    reading, args, kwargs = call
    plan = plan_of(reading)
    quick, walked = Rules(), Rules(hook=lambda payload: payload)
    assert plan.params(args, kwargs, quick) == plan.params(args, kwargs, walked)
    assert quick.redacted == walked.redacted


@given(readings(), st.lists(VALUES, max_size=5).map(tuple))
def test_a_call_that_fits_is_recorded_by_the_names_of_its_parameters(
    reading: SignatureInfo, values: tuple[object, ...]
) -> None:
    """The names are those that `inspect` binds, by position or by name."""
    plain = [each for each in reading.parameters if each.kind in BY_POSITION[1:]]
    if len(plain) != len(reading.parameters) or reading.skipped or len(values) < len(plain):
        return
    names = [each.name for each in plain]
    given_values = values[: len(names)]
    by_position: Any = json.loads(plan_of(reading).params(given_values, {}, Rules()))
    by_name = plan_of(reading).params((), dict(zip(names, given_values, strict=True)), Rules())
    assert list(by_position) == names
    if reading.positions_known:
        assert json.loads(by_name) == by_position
