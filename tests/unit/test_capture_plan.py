"""Plans: how arguments find their parameters, and what a declaration redacts of each side."""

from __future__ import annotations

import enum
import functools
import json
from collections import Counter
from collections.abc import Callable
from typing import Annotated

import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from remit._capture.encode import Rules
from remit._capture.redacted import RedactedTexts
from remit._inspect.marks import Skip
from remit._inspect.signature import read
from tests.captured import marked, opaque, ordinary, params_of, plan_of, redacted
from tests.subtests import each

pytestmark = pytest.mark.python

RESTRICTED = "classification:restricted"


class Colour(enum.Enum):
    """An enumeration, as a default."""

    RED = "red"


def open_ended(first: str, *rest: int, **others: object) -> None:
    """Stand for a step that takes anything."""
    del first, rest, others


def injected(
    order_id: str, session: Annotated[object, Skip], limit: int = 1, *, db: Annotated[int, Skip] = 0
) -> None:
    """Stand for a step with parameters that a framework injects."""
    del order_id, session, limit, db


def injected_rest(order_id: str, *rest: Annotated[object, Skip]) -> None:
    """Stand for a step whose surplus arguments are skipped."""
    del order_id, rest


def secretive(user: str, password: str | None = None, *, api_key: str = "") -> None:
    """Stand for a step whose names are secret."""
    del user, password, api_key


def defaults(
    colour: Colour = Colour.RED,
    size: tuple[int, ...] = (1, 2),
    tags: list[str] = ["a"],  # noqa: B006 - a mutable default is the case
    make: Callable[[], None] = len,  # type: ignore[assignment]
    far: float = float("inf"),
    url: str = "redis://:hunter2@cache:6379/0",
) -> None:
    """Stand for a step with every kind of default."""
    del colour, size, tags, make, far, url


CALLS = [
    pytest.param(
        ordinary, ("a",), {}, {"order_id": "a", "limit": 10, "fast": False}, id="defaults are in"
    ),
    pytest.param(
        ordinary,
        ("a", 2),
        {"fast": True},
        {"order_id": "a", "limit": 2, "fast": True},
        id="by position and by name",
    ),
    pytest.param(
        ordinary,
        ("a",),
        {"limit": [1]},
        {"order_id": "a", "limit": [1], "fast": False},
        id="a container enters the walk",
    ),
    pytest.param(
        ordinary,
        ("a" * 50, 3.5),
        {},
        {"order_id": "a" * 50, "limit": 3.5, "fast": False},
        id="a longer text",
    ),
    pytest.param(
        ordinary, ("a", None), {}, {"order_id": "a", "limit": None, "fast": False}, id="None"
    ),
    pytest.param(
        ordinary,
        ("a", 2**60, 5),
        {},
        {"order_id": "a", "limit": str(2**60), "fast": False, "*": [5]},
        id="too many arguments",
    ),
    pytest.param(
        ordinary,
        (),
        {"order_id": "a", "unknown": 1},
        {"limit": 10, "fast": False, "**": {"order_id": "a", "unknown": 1}},
        id="names that do not exist",
    ),
    pytest.param(
        ordinary,
        ("a", 1),
        {"limit": 2, "password": "x"},
        {
            "order_id": "a",
            "limit": 1,
            "fast": False,
            "**": {"limit": 2, "password": redacted("name:password")},
        },
        id="an argument given twice, and a secret one",
    ),
    pytest.param(
        open_ended, ("a",), {}, {"first": "a", "rest": [], "others": {}}, id="nothing more"
    ),
    pytest.param(
        open_ended,
        ("a", 1, 2),
        {"b": 3, "password": "x"},
        {
            "first": "a",
            "rest": [1, 2],
            "others": {"b": 3, "password": redacted("name:password")},
        },
        id="args and kwargs under their own names",
    ),
    pytest.param(
        open_ended,
        ("a",),
        {"first": "b"},
        {"first": "a", "rest": [], "others": {"first": "b"}},
        id="a name that is taken",
    ),
    pytest.param(
        injected, ("a", object()), {}, {"order_id": "a", "limit": 1}, id="skipped by position"
    ),
    pytest.param(
        injected,
        ("a",),
        {"session": object(), "db": 5, "limit": 2},
        {"order_id": "a", "limit": 2},
        id="skipped by name",
    ),
    pytest.param(
        injected, ("a", 1, 2, 3), {}, {"order_id": "a", "limit": 2}, id="beyond the skipped ones"
    ),
    pytest.param(injected_rest, ("a", 1, 2), {}, {"order_id": "a"}, id="a skipped rest"),
    pytest.param(
        secretive,
        ("u", "p"),
        {},
        {
            "user": "u",
            "password": redacted("name:password"),
            "api_key": redacted("name:api_key"),
        },
        id="secret names",
    ),
    pytest.param(
        secretive,
        ("u",),
        {"api_key": {"a": 1}},
        {"user": "u", "password": None, "api_key": redacted("name:api_key")},
        id="no password",
    ),
    pytest.param(
        marked,
        ("n", SecretStr("s"), "m", "p"),
        {},
        {
            "note": redacted("type:Sensitive"),
            "token_type": redacted("type:SecretStr"),
            "mail": "m",
            "phone": "p",
        },
        id="marks and secret types",
    ),
    pytest.param(
        marked, (), {"phone": "p"}, {"phone": "p"}, id="a call that will fail, without the secrets"
    ),
    pytest.param(
        ordinary,
        ("a", 2**60),
        {},
        {"order_id": "a", "limit": str(2**60), "fast": False},
        id="a large number",
    ),
    pytest.param(
        ordinary,
        ("a", float("nan")),
        {},
        {"order_id": "a", "limit": "NaN", "fast": False},
        id="no number",
    ),
    pytest.param(
        marked,
        ("n", "not even a SecretStr"),
        {},
        {"note": redacted("type:Sensitive"), "token_type": redacted("type:SecretStr")},
        id="a call that will fail, with a secret of the wrong type",
    ),
    pytest.param(
        defaults,
        (),
        {},
        {
            "colour": "red",
            "size": [1, 2],
            "tags": ["a"],
            "make": opaque("builtin_function_or_method"),
            "far": "Infinity",
            "url": redacted("pattern:url_password"),
        },
        id="defaults of every kind",
    ),
]


@each(("function", "args", "kwargs", "written"), CALLS)
def test_arguments_stand_under_their_parameters(
    function: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
    written: object,
) -> None:
    """As Python binds them; a call that Python will refuse is recorded as it was made."""
    assert params_of(plan_of(function), *args, **kwargs) == written


def moving(function: Callable[..., object]) -> Callable[..., object]:
    """Decorate as those do that add an argument in front."""

    @functools.wraps(function)
    def around(*args: object, retries: int = 3, **kwargs: object) -> object:
        del retries
        return function("session", *args, **kwargs)

    return around


def remembering(function: Callable[..., object]) -> Callable[..., object]:
    """Decorate with the parameters by their names, as they are."""

    @functools.wraps(function)
    def around(session: object, user: str, password: str) -> object:
        return function(session, user, password)

    return around


def login(session: object, user: str, password: str) -> None:
    """Stand for a step that is given a session by its decorator."""
    del session, user, password


def search(session: object, words: str) -> None:
    """Stand for another, without a secret."""
    del session, words


PASSWORD = redacted("name:password")
MOVED = {"session": PASSWORD, "user": PASSWORD, "password": PASSWORD}


@each(
    ("function", "args", "kwargs", "written"),
    [
        pytest.param(moving(login), ("bob", "x"), {}, {**MOVED, "retries": 3}, id="moved"),
        pytest.param(
            moving(login),
            ("a", "b", "c", "d"),
            {"retries": 5},
            {**MOVED, "retries": 5},
            id="too many",
        ),
        pytest.param(
            moving(login),
            (),
            {"user": "bob", "password": "x", "session": 1},
            {"session": 1, "user": "bob", "password": PASSWORD, "retries": 3},
            id="by name",
        ),
        pytest.param(
            moving(search),
            ("a", "b"),
            {},
            {"session": "a", "words": "b", "retries": 3},
            id="nothing to redact",
        ),
        pytest.param(
            remembering(login),
            (1, "bob", "x"),
            {},
            {"session": 1, "user": "bob", "password": PASSWORD},
            id="under a decorator that names the same parameters",
        ),
        pytest.param(
            functools.lru_cache(login),
            (1, "bob", "x"),
            {},
            {"session": 1, "user": "bob", "password": PASSWORD},
            id="under a decorator that hands on what it gets",
        ),
    ],
)
def test_no_secret_moves_under_a_harmless_name(
    function: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
    written: object,
) -> None:
    """A decorator may add arguments: where one is secret, each by position may be that one."""
    assert params_of(plan_of(function), *args, **kwargs) == written


def test_a_mutable_default_is_recorded_as_it_is_at_the_call() -> None:
    """The function may have changed it since."""
    tags: list[str] = []

    def step(tags: list[str] = tags) -> None:
        del tags

    plan = plan_of(step)
    tags.append("later")
    assert params_of(plan) == {"tags": ["later"]}


def test_a_keyword_of_a_users_own_class_is_read_as_text() -> None:
    """`f(**{name: 1})` takes any subclass of str."""

    class Name(str):  # noqa: SLOT000 - a subclass as users write it
        pass

    assert params_of(plan_of(ordinary), "a", **{Name("limit"): 5})["limit"] == 5


def test_what_names_redact_is_counted_on_every_call() -> None:
    """Also where the walk is left out."""
    rules = Rules()
    plan = plan_of(secretive)
    for _ in range(3):
        plan.params(("u", "p"), {}, rules)
    assert rules.redacted == Counter({"name:password": 3, "name:api_key": 3})


@pytest.mark.parametrize(
    ("step", "args", "named"),
    [
        (secretive, ("u", "hunter22"), {}),
        (secretive, ("u",), {"api_key": "hunter22"}),
        (secretive, ("u", None), {"api_key": 1_234_567}),
        (secretive, ("u", ["hunter22"]), {"api_key": {"deep": "hunter23"}}),
        (secretive, (), {"password": True}),
        (secretive, ("u", "hunter22"), {"password": "hunter23"}),
        (secretive, (["u"], "hunter22"), {}),
        (secretive, ("u" * 2_000, "hunter22"), {}),
        (injected, ("o", object(), 2), {}),
        (injected, ("o",), {"session": object(), "db": 1}),
        (injected, ("o",), {"session": object(), "unknown": 1}),
        (injected_rest, ("o", 1, 2), {}),
    ],
)
def test_calls_with_something_redacted_are_recorded_as_by_the_walk(
    step: Callable[..., object], args: tuple[object, ...], named: dict[str, object]
) -> None:
    """Payload, counts and collected texts; with a rule off every call is walked."""
    fast, walked = Rules().in_run(), Rules(off=frozenset({"name:ssn"})).in_run()
    plan = plan_of(step)
    assert plan.params(args, named, fast) == plan.params(args, named, walked)
    assert fast.redacted == walked.redacted
    assert set(fast.texts or ()) == set(walked.texts or ())


def dunder(__module__: str, password: str = "") -> None:
    """Stand for a step with a name that means something to a class."""
    del __module__, password


def test_what_is_given_twice_is_told_apart() -> None:
    """The call itself will fail; what it was given is recorded all the same."""
    assert params_of(plan_of(ordinary), "7", 1, limit=2) == {
        "order_id": "7",
        "limit": 1,
        "fast": False,
        "**": {"limit": 2},
    }


def test_a_key_that_comes_by_name_is_redacted() -> None:
    """Whatever the parameter is called."""
    assert params_of(plan_of(ordinary), "7", limit="password=hunter2x") == {
        "order_id": "7",
        "limit": redacted("pattern:assignment"),
        "fast": False,
    }


def test_a_parameter_may_have_a_name_that_classes_use() -> None:
    """It is recorded as any other, or redacted as any other."""
    assert params_of(plan_of(dunder), "mine", "p-1234") == {
        "__module__": "mine",
        "password": redacted("name:password"),
    }
    texts = RedactedTexts()
    plan_of(dunder, keep={"__module__": False}).params(("mine-1", "p-1"), {}, Rules(texts=texts))
    assert list(texts) == ["mine-1"]


def test_arguments_that_a_decorator_may_move_are_not_bound_quickly() -> None:
    """Which of them is the password nobody knows."""
    reading = replace(read(secretive, skip_first=False), positions_known=False)
    assert json.loads(plan_of(reading).params(("p-1234", "ada"), {}, Rules())) == {
        "user": redacted("name:password"),
        "password": redacted("name:password"),
        "api_key": redacted("name:api_key"),
    }
