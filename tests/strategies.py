"""Strategies: values as users hand them in, plain ones and hostile ones, and secrets in them."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import pathlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from typing import Any, Final, NamedTuple, cast

from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, SecretStr, create_model

CALLS: Final[list[str]] = []
"""Methods of hostile objects that were called."""

_SPECIAL: Final = (
    "__repr__ __str__ __eq__ __ne__ __lt__ __gt__ __le__ __ge__ __hash__ __len__ __iter__ __bool__ "
    "__next__ __getattr__ __getitem__ __contains__ __index__ __int__ __float__ __complex__ "
    "__format__ __bytes__ __reversed__ __length_hint__ __call__ __enter__ __exit__ __dir__ "
    "__reduce__ __reduce_ex__ __sizeof__ __fspath__ __copy__ __deepcopy__ __getstate__ items keys "
    "values get isoformat hex bit_length as_tuple model_dump model_dump_json dict json utcoffset "
    "__rich_repr__ __html__ __array__ __json__ to_json to_dict _asdict item shape dtype"
)
"""Methods that serialisers are known to call."""


def _recorder(name: str) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> Any:
        CALLS.append(name)
        raise RuntimeError(name)

    return call


def _getattribute(_: object, name: str) -> Any:
    CALLS.append(f"__getattribute__({name})")
    raise RuntimeError(name)


def hostile_namespace() -> dict[str, Any]:
    """Return the body of a class of which every method records that it was called, and raises."""
    body: dict[str, Any] = {name: _recorder(name) for name in _SPECIAL.split()}
    body["__getattribute__"] = _getattribute
    body["__class__"] = property(_recorder("__class__"))
    body["__module__"] = __name__
    return body


_META_METHODS: Final = (
    "__eq__ __getattribute__ __instancecheck__ __subclasscheck__ __repr__ __len__ __iter__"
)
_META_PROPERTIES: Final = "__mro__ __dict__ __module__"

HostileMeta: Final = type(
    "HostileMeta",
    (type,),
    {"__hash__": type.__hash__}
    | {name: _recorder(f"meta {name}") for name in _META_METHODS.split()}
    | {name: property(_recorder(f"meta {name}")) for name in _META_PROPERTIES.split()},
)
"""A metaclass that lets nothing of its classes be asked."""


def hostile_class(*bases: type) -> type:
    """Return a class that derives from *bases* and whose every method is hostile."""
    return type("Hostile", bases, hostile_namespace())


class Colour(enum.Enum):
    """An enumeration with a hostile text."""

    RED = "red"
    __str__ = _recorder("enum __str__")
    __repr__ = _recorder("enum __repr__")
    __hash__ = _recorder("enum __hash__")
    __eq__ = _recorder("enum __eq__")


HostileModel: Final = create_model("HostileModel", number=(int, 1))
for _name, _method in hostile_namespace().items():
    if _name not in {"__getattribute__", "__class__", "__module__"}:
        type.__setattr__(HostileModel, _name, _method)

HostileRecord: Final = make_dataclass(
    "HostileRecord", [("number", int)], namespace=hostile_namespace(), eq=False, repr=False
)


def _made(base: type, *args: object) -> Any:
    """Return a hostile instance, made without asking its class anything."""
    new: Callable[..., Any] = cast("Any", base).__new__
    value = new(hostile_class(base), *args)
    if base is list:
        list.append(value, 1)
    elif base is dict:
        dict.__setitem__(value, "a", 1)
    elif base is set:
        set.add(value, 1)
    return value


def _hostile_record() -> object:
    value: object = object.__new__(HostileRecord)
    object.__setattr__(value, "number", 1)
    return value


class NamedPlaces(NamedTuple):
    """A NamedTuple, to derive from."""

    first: object
    token: object


_HOSTILE_BASES: Final[tuple[tuple[type, tuple[object, ...]], ...]] = (
    (object, ()),
    (str, ("text",)),
    (int, (5,)),
    (float, (1.5,)),
    (complex, (1j,)),
    (bytes, (b"abc",)),
    (bytearray, ()),
    (list, ()),
    (tuple, ((1, 2),)),
    (dict, ()),
    (set, ()),
    (frozenset, ((1,),)),
    (collections.deque, ()),
    (NamedPlaces, (1, "a")),
    (dt.datetime, (2024, 1, 2)),
    (dt.date, (2024, 1, 2)),
    (dt.time, (1, 2)),
    (dt.timedelta, (1,)),
    (decimal.Decimal, ("1.5",)),
    (ValueError, ("message",)),
)


def hostile_values() -> list[object]:
    """Return one hostile object of each kind, made anew."""
    odd_uuid: object = object.__new__(hostile_class(uuid.UUID))
    object.__setattr__(odd_uuid, "int", 5)
    return [
        *(_made(base, *args) for base, args in _HOSTILE_BASES),
        object.__new__(hostile_class(pathlib.PurePosixPath)),
        odd_uuid,
        HostileModel.model_construct(number=1),
        _hostile_record(),
        object.__new__(cast("type[object]", HostileMeta("Hidden", (), {}))),
        Colour.RED,
    ]


@dataclass(frozen=True)
class Hostile:
    """Stands for a hostile object until the test begins: hypothesis shows and compares values."""

    number: int


HOSTILE: Final = st.builds(Hostile, st.integers(0, len(hostile_values()) - 1))


def realised(value: object) -> object:
    """Return *value* with the hostile objects in it."""
    if isinstance(value, Hostile):
        return hostile_values()[value.number]
    if isinstance(value, Holder | ModelHolder):
        return type(value)(held=realised(value.held))
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value).items()
        return {key: realised(each) for key, each in pairs}
    if isinstance(value, list | tuple):
        return type(value)(realised(each) for each in cast("list[object]", value))
    return value


SCALARS: Final[st.SearchStrategy[object]] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(exclude_categories=[]), max_size=40),
    st.binary(max_size=20),
    st.decimals(),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.complex_numbers(),
)
KEYS: Final[st.SearchStrategy[Any]] = st.one_of(
    st.text(st.characters(exclude_categories=[]), max_size=12),
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(),
    st.tuples(st.integers()),
    st.sampled_from(["$remit", "value", "name", "password", "max_tokens", "Authorization"]),
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[object]:
    """Return containers of *inner*."""
    return st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=6).map(tuple),
        st.dictionaries(KEYS, inner, max_size=6),
        st.builds(Holder, held=inner),
        st.builds(ModelHolder, held=inner),
    )


@dataclass
class Holder:
    """A dataclass that holds anything."""

    held: object


class ModelHolder(BaseModel):
    """A model that holds anything."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    held: Any


VALUES: Final = st.recursive(SCALARS, containers, max_leaves=25)
HOSTILE_VALUES: Final = st.recursive(SCALARS | HOSTILE, containers, max_leaves=25)

CANARY: Final = "canary7Zq3XwV9"


@dataclass
class SecretHolder:
    """Fields that redact what they hold."""

    password: object
    unseen: object = field(repr=False, default=None)


class SecretModel(BaseModel):
    """The same, as a model."""

    token: Any
    secret: SecretStr | None = None


UNCHECKED: Final[dict[str, Any]] = {"secret": CANARY}

HIDING_PLACES: Final[st.SearchStrategy[Callable[[], object]]] = st.sampled_from(
    [
        lambda: SecretStr(CANARY),
        lambda: {"password": CANARY},
        lambda: {"apiKey": [CANARY, {"a": CANARY}]},
        lambda: {"Authorization": {"x": CANARY}},
        lambda: [("Cookie", CANARY)],
        lambda: {"name": "client_secret", "value": CANARY},
        lambda: ["--token", CANARY],
        lambda: SecretHolder(CANARY, CANARY),
        lambda: SecretModel(token=CANARY, secret=SecretStr(CANARY)),
        lambda: SecretModel.model_construct(token="x", **UNCHECKED),
        lambda: f"the key is sk-proj-{CANARY}abcdef, keep it",
        lambda: f"Authorization: Bearer {CANARY}abcdef0",
        lambda: f"postgres://user:{CANARY}@host/db",
        lambda: f'{{"password": "{CANARY}"}}',
        lambda: {f"sk-proj-{CANARY}abcdef": 1},
        lambda: {SecretStr(CANARY): 1},
        lambda: {f"sk-proj-{CANARY}abcdef", "x"},
        lambda: ["-----BEGIN PRIVATE KEY-----", CANARY],
    ]
)


@st.composite
def planted(draw: st.DrawFn) -> object:
    """Draw a value with a canary somewhere inside."""
    value: object = draw(HIDING_PLACES)()
    for _ in range(draw(st.integers(0, 4))):
        beside = draw(SCALARS)
        wrap = draw(st.integers(0, 5))
        if wrap == 0:
            value = [beside, value]
        elif wrap == 1:
            value = {"a": value, "b": beside}
        elif wrap == 2:
            value = (value, beside)
        elif wrap == 3:
            value = Holder(value)
        elif wrap == 4:
            value = ModelHolder(held=value)
        else:
            value = {"kept": {1: value}}
    return value
