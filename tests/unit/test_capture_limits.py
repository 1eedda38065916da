"""Budgets: what is cut, how the rest says so, and that nothing is ever larger than allowed."""

from __future__ import annotations

import collections
import enum
import json
import types
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from remit._capture.encode import Rules, capture_mapping
from remit._capture.plan import Plan
from remit._inspect.introspection import snapshot as first_of
from tests.captured import copy_of, params_of, plan_of, redacted, result_of
from tests.subtests import each
from tests.untraced import least_cpu_s

SMALL = Rules(256)


def take(document: object, question: str = "", limit: int = 1) -> None:
    """Stand for a step with a large argument and small ones."""
    del document, question, limit


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    """The beginning and the end are kept, and the room is used."""
    shown = copy_of("x" * 100_000 + "y" * 100_000)
    assert shown == {
        "$remit": "cut",
        "of": 200_000,
        "unit": "chars",
        "head": "x" * len(shown["head"]),
        "tail": "y" * len(shown["tail"]),
    }
    assert 65_300 < len(shown["head"]) + len(shown["tail"]) < 65_536
    assert len(shown["tail"]) == (len(shown["head"]) + len(shown["tail"])) // 10


def test_a_long_list_is_cut_and_says_how_long_it_was() -> None:
    """At most 2,000 values are visited."""
    shown = copy_of(list(range(5000)))
    middle = shown.index({"$remit": "cut", "of": 5000, "unit": "items"})
    assert shown[:middle] == list(range(middle))
    assert shown[middle + 1 :] == list(range(5001 - len(shown) + middle, 5000))
    assert 1900 < len(shown) <= 2001
    assert 0.2 < middle / len(shown) < 0.3


def test_a_large_dict_is_cut_and_says_how_large_it_was() -> None:
    """By its keys, in their order."""
    shown = copy_of({f"k{number}": number for number in range(5000)})
    assert (shown["$remit"], shown["of"], shown["unit"]) == ("cut", 5000, "keys")
    assert list(shown["head"])[:2] == ["k0", "k1"]


def test_a_set_is_cut_the_same_way_whatever_its_order() -> None:
    """A huge one is not looked into: choosing its smallest members would take too long."""
    texts = {f"{number:04}" * 60 for number in range(500)}
    shown = copy_of(texts)
    middle = shown.index({"$remit": "cut", "of": 500, "unit": "items"})
    assert shown[:middle] == sorted(texts)[:middle]
    assert shown[middle + 1 :] == sorted(texts)[500 - len(shown) + middle + 1 :]
    huge = copy_of(frozenset(range(5000)))
    assert huge == [{"$remit": "cut", "of": 5000, "unit": "items"}]


def test_what_is_nested_too_deep_is_cut() -> None:
    """Twelve levels are kept."""
    nested: Any = "bottom"
    for _ in range(20):
        nested = [nested]
    shown = copy_of(nested)
    for _ in range(11):
        (shown,) = shown
    assert shown == {"$remit": "cut", "of": 12, "unit": "levels"}


class Pair(NamedTuple):
    """A NamedTuple with room for anything."""

    first: object
    second: object = None


@dataclass
class Box:
    """A dataclass with room for anything."""

    first: object
    second: object = None


@each(
    "wrap",
    [
        pytest.param(lambda inner: frozenset({inner}), id="sets"),
        pytest.param(lambda inner: {"a": inner}, id="dicts"),
        pytest.param(Pair, id="NamedTuples"),
        pytest.param(Box, id="dataclasses"),
    ],
)
def test_every_container_is_cut_below_the_deepest_level(wrap: Any) -> None:
    """Each kind asks for itself."""
    nested: Any = 1
    for _ in range(20):
        nested = wrap(nested)
    assert '{"$remit": "cut", "of": 12, "unit": "levels"}' in json.dumps(copy_of(nested))


def test_sets_in_sets_take_no_longer_than_other_containers() -> None:
    """Each is sorted, and what it is sorted by is read once."""
    nested: Any = 1
    for level in range(22):
        nested = frozenset({nested, level})
    assert least_cpu_s(lambda: copy_of(nested)) < 0.5


@each(
    ("value", "short"),
    [
        pytest.param([Pair("x" * 40_000, "y" * 40_000), Pair("z", "z")], [1], id="NamedTuples"),
        pytest.param([Box("x" * 40_000, "y" * 40_000), Box("z", "z")], [1], id="dataclasses"),
        pytest.param(Pair(["x" * 30_000] * 3, "z"), [1], id="a NamedTuple"),
        pytest.param(Box(["x" * 30_000] * 3, "z"), ["second"], id="a dataclass"),
        pytest.param({"a": ["x" * 30_000] * 3, "b": "z"}, ["b"], id="a dict"),
        pytest.param([["x" * 30_000] * 3, [1] * 2500, "z"], [2], id="a list"),
    ],
)
def test_what_is_long_is_cut_and_what_is_short_stays(value: object, short: list[Any]) -> None:
    """Each of the long texts keeps a part."""
    shown = copy_of(value)
    for place in short:
        assert "$remit" not in json.dumps(shown[place])
    assert json.dumps(shown).count('"unit": "chars"') >= 2
    assert 50_000 < len(json.dumps(shown, separators=(",", ":"))) < 65_536


@pytest.mark.parametrize("make", [dict, list], ids=["a dict", "a list"])
def test_what_holds_itself_is_cut(make: Any) -> None:
    """A cycle is said where it closes."""
    cycle = make()
    cycle.update(a=cycle) if make is dict else cycle.append(cycle)
    cut = {"$remit": "cut", "of": 2, "unit": "levels"}
    assert copy_of(cycle) == ({"a": cut} if make is dict else [cut])


def test_what_stands_twice_side_by_side_is_written_twice() -> None:
    """Only a cycle is one."""
    shared = [1]
    assert copy_of([shared, shared]) == [[1], [1]]


def test_a_chain_of_values_that_stand_for_each_other_ends() -> None:
    """As values, and as keys of a dict."""

    class Odd(enum.Enum):
        A = 1
        B = 2

    vars(Odd.A).update(_value_=Odd.B)
    vars(Odd.B).update(_value_=Odd.A)
    assert copy_of(Odd.A)["unit"] == "levels"
    name = f"{__name__}.{Odd.__qualname__}"
    assert copy_of({Odd.A: 1}) == {f"<{name} 1>": 1}
    assert "levels" in json.dumps(result_of(plan_of(take), Odd.A))
    space = types.SimpleNamespace()
    space.inner = space
    assert "levels" in json.dumps(copy_of(space))


def test_one_huge_argument_leaves_the_others_what_they_need() -> None:
    """A payload without the question is worth little."""
    question = "why? " * 2000
    shown = params_of(plan_of(take), "x" * 10_000_000, question)
    assert shown["question"] == question
    assert shown["limit"] == 1
    assert len(shown["document"]["head"]) > 45_000
    many = params_of(plan_of(take), list(range(100_000)), list(range(900)), 5)
    assert many["question"] == list(range(900))


def test_every_parameter_keeps_its_key_when_nothing_is_left() -> None:
    """The keys are the schema's."""
    plan = plan_of(take)
    shown = json.loads(plan.params((["y" * 30] * 50, "z" * 300), {}, SMALL))
    assert set(shown) == {"document", "question", "limit"}


@each("limit", [256, 300, 1000, 5000, 65_536])
@each(
    "value",
    [
        pytest.param("\x00" * 100_000, id="text that grows when it is written"),
        pytest.param("漢" * 100_000, id="text of three bytes a character"),
        pytest.param(["\U0001f600" * 10] * 5000, id="many texts of four bytes a character"),
        pytest.param([object()] * 5000, id="markers"),
        pytest.param({f"{n}" * 50: {"a": [n] * 10} for n in range(500)}, id="long keys"),
        pytest.param([[[[["x" * 50] * 9] * 9] * 9] * 9] * 9, id="a bush"),
        pytest.param([0.1234567890123456] * 5000, id="long numbers"),
        pytest.param("\ud800" * 5000, id="surrogates"),
    ],
)
def test_no_payload_is_larger_than_the_limit(value: object, limit: int) -> None:
    """Counted in bytes of UTF-8, and it is JSON all the same."""
    data = capture_mapping({"it": value}, Rules(limit))
    assert len(data) <= limit
    assert isinstance(json.loads(data), dict)


def test_a_payload_of_which_nothing_fits_is_one_marker() -> None:
    """The number of parameters alone may be too much."""
    names = ", ".join(f"a_long_parameter_name_{number}" for number in range(100))
    space: dict[str, Any] = {}
    exec(f"def many({names}): ...", space)  # a function with 100 parameters
    plan = plan_of(space["many"])
    shown = json.loads(plan.params(tuple([object()] * 100), {}, SMALL))
    assert (shown["$remit"], shown["of"], shown["unit"]) == ("cut", 100, "keys")
    assert next(iter(shown["head"])) == "a_long_parameter_name_0"
    rules = Rules(256, hook=lambda payload: {**payload, "$remit": "unknown", "text": "x" * 300})
    shown = json.loads(capture_mapping({}, rules))
    assert (shown["$remit"], shown["unit"]) == ("cut", "bytes")
    assert shown["of"] > 256


def test_what_was_redacted_is_counted_once_however_often_it_is_walked() -> None:
    """A payload that does not fit is walked again."""
    rules = Rules(1000)
    capture_mapping({"password": "x", "text": "\x00" * 5000}, rules)
    assert rules.redacted == {"name:password": 1}


def test_a_container_that_changes_meanwhile_is_recorded_empty() -> None:
    """Another thread may add to a deque while it is read."""
    numbers = collections.deque([1, 2])
    reading = iter(numbers)
    numbers.append(3)
    assert first_of(reading, 5) == ()
    assert first_of(iter([1, 2]), -1) == ()


def test_a_call_that_has_used_up_the_stack_is_recorded_as_a_marker() -> None:
    """The walk needs some stack of its own."""

    def dive(depth: int) -> bytes:
        try:
            return dive(depth + 1)
        except RecursionError:
            return plan.params(([[[[[["x"]]]]]],), {}, Rules())

    plan: Plan = plan_of(take)
    assert json.loads(dive(0))


@each(
    "value",
    [
        pytest.param([{"a": n, "b": [n] * 3, "c": "x" * 20} for n in range(100_000)], id="rows"),
        pytest.param("lorem ipsum " * 1_000_000, id="twelve megabytes of text"),
        pytest.param({f"key_{n}": f"{n}" for n in range(100_000)}, id="a large dict"),
        pytest.param(set(range(1_000_000)), id="a large set"),
        pytest.param(["a" * 10_000_000] * 1000, id="the same long text many times"),
    ],
)
def test_a_huge_argument_is_recorded_within_the_limit(value: object) -> None:
    """However much there is of it."""
    data = plan_of(take).params((value,), {}, Rules())
    assert len(data) <= 65_536
    assert '"cut"' in json.dumps(json.loads(data)["document"])


def test_a_redacted_text_costs_no_copy() -> None:
    """The value is not walked at all."""
    assert copy_of({"password": ["x"] * 10_000_000}) == {"password": redacted("name:password")}


def test_a_type_that_was_first_met_near_the_recursion_limit_is_recorded_later() -> None:
    """What the limit kept from being read is read at the next call."""

    @dataclass
    class Order:
        number: int

    def descend() -> None:
        try:
            descend()
        except RecursionError:
            capture_mapping({"it": Order(7)}, Rules())
            raise

    with pytest.raises(RecursionError):
        descend()
    assert copy_of(Order(7)) == {"number": 7}


class OddTuple(tuple[int, ...]):
    """A tuple with methods that must not run."""

    __slots__ = ()

    def __getitem__(self, key: object) -> Any:
        """Fail."""
        raise AssertionError(key)

    __len__ = __reversed__ = __getitem__  # type: ignore[assignment]


@each(
    "make",
    [
        list,
        tuple,
        OddTuple,
        collections.deque,
        lambda numbers: dict.fromkeys(numbers).keys(),
        lambda numbers: dict(enumerate(numbers)).values(),
    ],
    ids=["list", "tuple", "a subclass", "deque", "keys", "values"],
)
def test_a_long_sequence_is_read_from_both_ends(make: Any) -> None:
    """In no more time than a short one, because what is between is not read."""
    shown = copy_of(make(range(1_000_000)))
    assert (shown[0], shown[-1]) == (0, 999_999)
    assert shown.count({"$remit": "cut", "of": 1_000_000, "unit": "items"}) == 1
