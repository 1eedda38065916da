"""What a person was shown and what runs: arguments by name, their digest, and seals.

The digest covers all values, in full and unredacted, and is never recorded: without a key, a reader
could guess withheld values from it. No code of the values runs.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import inspect
import ipaddress
import os
import struct
import uuid
from array import array
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import partial
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from types import FunctionType, MappingProxyType, MemberDescriptorType, SimpleNamespace
from typing import Any, Final, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from remit._base.guard import attempt
from remit._declare.registry import SpanType
from remit._inspect.annotations import is_secret, signature_of
from remit._inspect.fields import fields_of
from remit._inspect.introspection import (
    DICTS,
    classes_of,
    has_dict,
    has_hidden_state,
    is_class,
    is_foreign_class,
    is_one_of,
    kind_of,
    module_of,
    mro,
    name_of,
    namespace,
    own_attribute,
    snapshot,
)

MAX_VALUES: Final = 1_000_000
"""Values of one call that are read; the others are compared by type."""
MAX_PARTS: Final = 8
"""Parts of a path in `unbound`."""
MAX_UNBOUND: Final = 50
"""Entries of `unbound`; a longer list ends with `...`."""
KEY_BYTES: Final = 16
FRAMEWORK_CONTEXTS: Final = frozenset(
    {
        ("agents", "RunContextWrapper"),
        ("fastmcp", "Context"),
        ("google", "ReadonlyContext"),
        ("langchain_core", "RunnableConfig"),
        ("langgraph", "Runtime"),
        ("langgraph", "ToolRuntime"),
        ("mcp", "Context"),
        ("pydantic_ai", "RunContext"),
    }
)
"""Top-level package and name of objects that frameworks pass, which differ from call to call."""
OWNER: Final = "self"
"""The name of the object or class that a method is called on."""

_TEXTS: Final[Mapping[type, Callable[[Any], str]]] = {
    complex: repr,
    range: repr,
    Decimal: str,
    Fraction: str,
    uuid.UUID: str,
    dt.date: dt.date.isoformat,
    dt.datetime: repr,
    dt.time: repr,
    dt.timedelta: repr,
    **dict.fromkeys((PurePosixPath, PureWindowsPath, PosixPath, WindowsPath), str),
    **dict.fromkeys((ipaddress.IPv4Address, ipaddress.IPv6Address), str),
    **dict.fromkeys((ipaddress.IPv4Network, ipaddress.IPv6Network), str),
}
"""By exact type, a text that differs for different values."""
_WRITTEN: Final[Mapping[type, Callable[[Any], str]]] = {
    str: str.__str__,
    int: lambda value: int.__format__(value, "x"),
    float: float.hex,
}
"""The same for classes that derive from these."""
_BUILTINS: Final = (
    *(str, int, float, bytes, bytearray, memoryview, array),
    *(*DICTS, list, tuple, deque, set, frozenset),
)


class Reading(NamedTuple):
    """What was read of the arguments of one call.

    Attributes:
        digest: 32 bytes that differ if a value that was read differs.
        unbound: Names and paths of the values that are compared by type only.
        by_name: The digest of each argument.
    """

    digest: bytes
    unbound: tuple[str, ...]
    by_name: Mapping[str, bytes]


def arguments_of(
    declared: SpanType | None, owner: object, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """Return the arguments of a call by name, with defaults; *owner* is `self` or `cls`, or None.

    Arguments that do not fit the signature are `args` and `kwargs`: `check_fit` says whether the
    call itself will fail.
    """
    named: dict[str, object] = dict(kwargs)
    if declared is not None:
        bound = attempt(partial(_bound, declared, args, kwargs))
        named = {"args": args, "kwargs": kwargs} if isinstance(bound, Exception) else bound
    if owner is not None:
        name = OWNER
        while name in named:
            name += "_"
        named = {name: owner} | named
    return named


def check_fit(
    declared: SpanType | None, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> None:
    """Check that a call has the arguments of its function.

    A decorator below remit's may add arguments, so only a function without one is checked.

    Raises:
        TypeError: An argument is missing or is one too many.
    """
    if declared is None or type(declared.function) is not FunctionType:
        return
    if {"__wrapped__", "__signature__"} & vars(declared.function).keys():
        return
    misfit = attempt(partial(_bound, declared, args, kwargs))
    if isinstance(misfit, TypeError):
        raise TypeError(f"{declared.function.__name__}() {misfit}")


_signatures: Final[WeakKeyDictionary[SpanType, inspect.Signature]] = WeakKeyDictionary()


def _bound(
    declared: SpanType, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> dict[str, object]:
    signature = _signatures.get(declared)
    if signature is None:
        signature = _signatures[declared] = _signature_of(declared)
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def _signature_of(declared: SpanType) -> inspect.Signature:
    """Return the signature of a call, without `self` or `cls`."""
    signature, skip = signature_of(declared.function), declared.skip_first
    parameters = list(signature.parameters.values())
    skips = skip() if callable(skip) else skip
    if skips and parameters and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        return signature.replace(parameters=parameters[1:])
    return signature


def injected_in(declared: SpanType) -> frozenset[str]:
    """Return the names of the parameters that a framework injects, and of those with `Skip`."""
    signature = declared.declared_signature
    contexts = (
        parameter.name
        for parameter in signature.parameters
        if is_class(parameter.annotation) and classes_of(parameter.annotation) & FRAMEWORK_CONTEXTS
    )
    return signature.skipped.union(contexts)


def read(
    step: str,
    arguments: Mapping[str, object],
    by_type: Collection[str] = (),
    file: str | None = None,
) -> Reading:
    """Return the digest of the arguments of a step.

    Args:
        by_type: Names of arguments that are compared by type, such as those that a framework
            injects.
        file: The file of the step. The attributes of objects are read if the class is in the same
            installed package, or in no installed package: those of a library, such as a client or a
            logger, may change at any time.
    """
    reader = _Reader(file)
    for name, value in arguments.items():
        reader.argument(name, value, is_by_type=name in by_type)
    names = "".join(f"{len(name)}:{name}" for name in (step, *arguments))
    whole = hashlib.blake2b(names.encode("utf-8", "surrogatepass"), digest_size=32)
    whole.update(b"".join(reader.by_name.values()))
    return Reading(whole.digest(), tuple(reader.unbound), reader.by_name)


_Path: TypeAlias = tuple[Any, int | str]
"""The path of the value around, None for an argument; and a name or an index in that value."""
_Members: TypeAlias = Iterator[tuple[_Path, Any]]


class _Reader:
    """Feeds values to a hash, each with its type and length, so that no two give the same bytes."""

    def __init__(self, file: str | None) -> None:
        self.hash = hashlib.blake2b(digest_size=32)
        self.unbound: list[str] = []
        self.by_name: dict[str, bytes] = {}
        self._file = file
        self._left = MAX_VALUES
        self._readable: dict[int, bool] = {}
        """By the id of a class."""
        self._inside: dict[int, int] = {}
        """By the id of each value around the current one, how many are around that."""

    def argument(self, name: str, value: object, *, is_by_type: bool) -> None:
        """Read an argument, and all values in it; nested values need no stack of Python's."""
        self.hash = hashlib.blake2b(digest_size=32)
        if is_by_type:
            self.leave_out((None, name), value)
        else:
            pending: list[_Members] = [iter([((None, name), value)])]
            while pending:
                member = next(pending[-1], None)
                if member is None:
                    pending.pop()
                elif (members := self.value(*member)) is not None:
                    pending.append(members)
        self.by_name[name] = self.hash.digest()

    def text(self, text: str) -> None:
        data = str.encode(text, "utf-8", "surrogatepass")
        self.hash.update(b"s%d:" % len(data))
        self.hash.update(data)

    def leave_out(self, path: _Path, value: object) -> None:
        """Read only the type of *value*."""
        self._tag(b"?", type(value))
        self._name(path)

    def _name(self, path: _Path) -> None:
        """Add *path* to the values that are not compared in full."""
        if len(self.unbound) < MAX_UNBOUND:
            self.unbound.append(_shown(path))
        elif self.unbound[-1] != "...":
            self.unbound.append("...")

    def _tag(self, kind: bytes, cls: type) -> None:
        name = f"{module_of(cls)}.{name_of(cls)}".encode("utf-8", "surrogatepass")
        self.hash.update(b"%s%d:%s" % (kind, len(name), name))

    def value(self, path: _Path, value: Any) -> _Members | None:
        """Read *value*, which is at *path*; return the values in it that are to be read next."""
        update, cls = self.hash.update, kind_of(value)
        self._left -= 1
        if value is None:
            update(b"N")
        elif cls is str:
            self.text(value)
        elif cls is bool:
            update(b"T" if value else b"F")
        elif cls is int:
            update(b"i%x;" % value)
        elif cls is float:
            update(b"f" + struct.pack(">d", value))
        elif (number := self._inside.get(id(value))) is not None:
            update(b"^%d;" % number)  # a cycle: the value is being read
        elif self._left < 0:
            self.leave_out(path, value)
        elif (write := _TEXTS.get(cls)) is not None:
            self._written(path, value, write)
        else:
            return self._compound(path, value, cls)
        return None

    def _written(self, path: _Path, value: object, write: Callable[[Any], str]) -> None:
        text = attempt(partial(write, value))  # a time zone may be of the user's
        if isinstance(text, Exception):
            self.leave_out(path, value)
            return
        self._tag(b"o", type(value))
        self.text(text)

    def _compound(self, path: _Path, value: Any, cls: type) -> _Members:
        self._inside[id(value)] = len(self._inside)
        if is_class(value):
            self._tag(b"c", value)
        elif is_one_of(cls, Enum):
            self._tag(b"e", cls)
            self.text(str(own_attribute(value, "__dict__").get("_name_")))
        elif is_one_of(cls, *_BUILTINS):
            yield from self._builtin(path, value, cls)
            yield from self._attributes(path, value, cls)
        elif ("numpy", "ndarray") in classes_of(cls) and not value.dtype.hasobject:
            self._tag(b"a", cls)
            self.text(f"{value.dtype.str}{value.shape}")
            self._bytes(cls, value.tobytes())
        elif self._is_readable(cls):
            self._tag(b"r", cls)
            if has_hidden_state(cls):
                self._name(path)
            yield from self._attributes(path, value, cls)
        else:
            self.leave_out(path, value)
        del self._inside[id(value)]

    def _builtin(self, path: _Path, value: Any, cls: type) -> _Members:
        """Read a value of a builtin type, or of a class that derives from one."""
        base: Any = next(each for each in _BUILTINS if is_one_of(cls, each))
        if base in (str, int, float):
            self._tag(b"o", cls)
            self.text(_WRITTEN[base](value))
        elif base in (bytes, bytearray, memoryview, array):
            self._bytes(cls, value)
        elif base in DICTS:
            items = self._items(path, value, base.items(value), base.__len__(value))
            self._tag(b"{", cls)
            self.hash.update(b"%d:" % len(items))
            for number, (key, item) in enumerate(items):
                yield (path, number), key
                yield (path, key if type(key) is str else number), item
        else:
            items = self._items(path, value, base.__iter__(value), base.__len__(value))
            if base in (set, frozenset):
                yield from self._unordered(path, cls, items)
                return
            self._tag(b"[", cls)
            self.hash.update(b"%d:" % len(items))
            for number, item in enumerate(items):
                yield (path, number), item

    def _is_readable(self, cls: type) -> bool:
        """Return whether the attributes of objects of *cls* are values: not those of a library."""
        readable = self._readable.get(id(cls))
        if readable is None:
            is_value = fields_of(cls) is not None or is_secret(cls)
            is_value = is_value or is_one_of(cls, SimpleNamespace)
            readable = is_value or not is_foreign_class(cls, self._file)
            readable = readable and not classes_of(cls) & FRAMEWORK_CONTEXTS
            self._readable[id(cls)] = readable
        return readable

    def _items(
        self, path: _Path, value: object, items: Iterable[Any], size: int
    ) -> tuple[Any, ...]:
        """Return the items of a container; if there are too many, it is listed and some are left.

        Its items may also change in another thread, and then there are none.
        """
        read_items = snapshot(items, self._left + 1)
        self.hash.update(b"#%d:" % size)
        if len(read_items) < size:
            self.leave_out(path, value)
        return read_items

    def _bytes(self, cls: type, value: bytes | bytearray | memoryview | array[Any]) -> None:
        with memoryview(value) as view:
            self._tag(b"b", cls)
            self.text(view.format)
            self.hash.update(b"%d:" % view.nbytes)
            self.hash.update(view if view.contiguous else view.tobytes())

    def _unordered(self, path: _Path, cls: type, members: Iterable[object]) -> _Members:
        outer, digests = self.hash, list[bytes]()
        for member in members:
            self.hash = hashlib.blake2b(digest_size=32)
            yield (path, 0), member
            digests.append(self.hash.digest())
        self.hash = outer
        self._tag(b"<", cls)
        self.hash.update(b"%d:%s" % (len(digests), b"".join(sorted(digests))))

    def _attributes(self, path: _Path, value: object, cls: type) -> _Members:
        """Read the attributes of an object: those in its dict, and its slots."""
        attributes: dict[str, object] = {}
        if has_dict(cls):
            attributes |= own_attribute(value, "__dict__")
        for base in mro(cls):
            for name, member in namespace(base).items():
                if type(member) is MemberDescriptorType and base is not BaseException:
                    slot = attempt(partial(own_attribute, value, name))
                    if not isinstance(slot, AttributeError):
                        attributes.setdefault(name, slot)
        for name, attribute in attributes.items():
            self.text(name)
            yield (path, name), attribute
        self.hash.update(b"%d." % len(attributes))


def _shown(path: _Path) -> str:
    """Return *path* as text, such as `order.lines[0]`; the middle of a long one is left out."""
    parts: list[str] = []
    step: Any = path
    while step is not None:
        step, part = step
        parts.append(f"[{part}]" if type(part) is int else f".{part}")
    parts.reverse()
    if len(parts) > MAX_PARTS:
        parts[MAX_PARTS - 1 : -1] = ["..."]
    return "".join(parts).removeprefix(".")


# Seals


def seal_of(digest: bytes) -> str:
    """Return a text by which `is_sealed` recognises *digest*, another one each time."""
    key = os.urandom(KEY_BYTES)
    return base64.urlsafe_b64encode(key + _keyed(digest, key)).decode()


def is_sealed(digest: bytes, seal: object) -> bool:
    """Return whether *seal* was made of *digest*; False for anything else."""
    try:
        data = base64.urlsafe_b64decode(seal) if type(seal) is str else b""
    except (binascii.Error, ValueError):
        return False
    key, keyed = data[:KEY_BYTES], data[KEY_BYTES:]
    # No secret is compared: the key is in the seal.
    return bool(key) and keyed == _keyed(digest, key)


def _keyed(digest: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(digest, key=key, digest_size=32).digest()


_used_seals: Final[dict[str, object]] = {}
"""The seals that were used in this process; people make few of them."""


def is_used(seal: str) -> bool:
    """Return whether a step ran in this process because of the answer to this seal."""
    return seal in _used_seals


def use_seal(seal: str) -> bool:
    """Mark *seal* as used; return whether it was not used before. Atomic between threads."""
    mark = object()
    return _used_seals.setdefault(seal, mark) is mark


def read_only(arguments: dict[str, object]) -> Mapping[str, object]:
    """Return a view of *arguments*; the values are those of the call."""
    return MappingProxyType(arguments)
