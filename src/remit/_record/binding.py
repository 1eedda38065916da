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
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import partial
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from types import MappingProxyType, MemberDescriptorType
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from remit._base.guard import attempt
from remit._declare.registry import SpanType
from remit._inspect.annotations import is_secret, signature_of
from remit._inspect.fields import fields_of
from remit._inspect.introspection import (
    DICT,
    classes_of,
    has_dict,
    is_class,
    is_one_of,
    kind_of,
    module_of,
    mro,
    name_of,
    namespace,
    own_attribute,
    snapshot,
)

MAX_VALUES: Final = 100_000
"""Values of one call that are read; the others are compared by type."""
MAX_DEPTH: Final = 100
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


class Reading(NamedTuple):
    """What was read of the arguments of one call.

    Attributes:
        digest: 32 bytes that differ if a value that was read differs.
        unbound: Names and paths of the values that are compared by type only.
    """

    digest: bytes
    unbound: tuple[str, ...]


def arguments_of(
    declared: SpanType | None, owner: object, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """Return the arguments of a call by name, with defaults; *owner* is `self` or `cls`, or None.

    Arguments that do not fit the signature are `args` and `kwargs`: the call itself will fail.
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


def read(step: str, arguments: Mapping[str, object], by_type: Collection[str] = ()) -> Reading:
    """Return the digest of the arguments of a step.

    Args:
        by_type: Names of arguments that are compared by type, such as those that a framework
            injects.
    """
    reader = _Reader()
    reader.text(step)
    for name, value in arguments.items():
        reader.text(name)
        if name in by_type:
            reader.leave_out(name, value)
        else:
            reader.value(name, value, 0)
    return Reading(reader.hash.digest(), tuple(reader.unbound))


class _Reader:
    """Feeds values to a hash, each with its type and length, so that no two give the same bytes."""

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=32)
        self.unbound: list[str] = []
        self._left = MAX_VALUES
        self._inside: set[int] = set()

    def text(self, text: str) -> None:
        data = str.encode(text, "utf-8", "surrogatepass")
        self.hash.update(b"s%d:" % len(data))
        self.hash.update(data)

    def leave_out(self, path: str, value: object) -> None:
        """Read only the type of *value*."""
        self._tag(b"?", type(value))
        if len(self.unbound) < MAX_UNBOUND:
            self.unbound.append(path)
        elif self.unbound[-1] != "...":
            self.unbound.append("...")

    def _tag(self, kind: bytes, cls: type) -> None:
        name = f"{module_of(cls)}.{name_of(cls)}".encode("utf-8", "surrogatepass")
        self.hash.update(b"%s%d:%s" % (kind, len(name), name))

    def value(self, path: str, value: Any, depth: int) -> None:
        """Read *value*, which is at *path*."""
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
        elif self._left < 0 or depth > MAX_DEPTH or id(value) in self._inside:
            self.leave_out(path, value)
        elif (write := _TEXTS.get(cls)) is not None:
            self._written(path, value, write)
        else:
            self._inside.add(id(value))
            self._compound(path, value, cls, depth + 1)
            self._inside.discard(id(value))

    def _written(self, path: str, value: object, write: Callable[[Any], str]) -> None:
        text = attempt(partial(write, value))  # a time zone may be of the user's
        if isinstance(text, Exception):
            self.leave_out(path, value)
            return
        self._tag(b"o", type(value))
        self.text(text)

    def _compound(self, path: str, value: Any, cls: type, depth: int) -> None:
        if is_class(value):
            self._tag(b"c", value)
        elif is_one_of(cls, Enum):
            self._tag(b"e", cls)
            self.text(str(own_attribute(value, "__dict__").get("_name_")))
        elif is_one_of(cls, str, int, float):
            self._scalar(path, value, cls, depth)
        elif is_one_of(cls, bytes, bytearray, memoryview):
            self._bytes(cls, value)
        elif is_one_of(cls, dict):
            items = self._items(path, value, DICT.items(value), DICT.__len__(value))
            self._members(b"{", path, cls, [part for item in items for part in item], depth)
            self._attributes(path, value, cls, depth)
        elif is_one_of(cls, list, tuple, deque):
            base: Any = next(each for each in (list, tuple, deque) if is_one_of(cls, each))
            items = self._items(path, value, base.__iter__(value), base.__len__(value))
            self._members(b"[", path, cls, items, depth)
            self._attributes(path, value, cls, depth)
        elif is_one_of(cls, set, frozenset):
            base = set if is_one_of(cls, set) else frozenset
            items = self._items(path, value, base.__iter__(value), base.__len__(value))
            self._unordered(path, cls, items, depth)
        elif ("numpy", "ndarray") in classes_of(cls) and not value.dtype.hasobject:
            self._tag(b"a", cls)
            self.text(f"{value.dtype.str}{value.shape}")
            self._bytes(cls, value.tobytes())
        elif _has_fields(cls):
            self._tag(b"r", cls)
            self._attributes(path, value, cls, depth)
        else:
            self.leave_out(path, value)

    def _items(self, path: str, value: object, items: Iterable[Any], size: int) -> tuple[Any, ...]:
        """Return the items of a container; if there are too many, it is listed and some are left.

        Its items may also change in another thread, and then there are none.
        """
        read_items = snapshot(items, self._left + 1)
        self.hash.update(b"#%d:" % size)
        if len(read_items) < size:
            self.leave_out(path, value)
        return read_items

    def _scalar(self, path: str, value: Any, cls: type, depth: int) -> None:
        """Read a value of a subclass of a builtin scalar, and its attributes."""
        self._tag(b"o", cls)
        if is_one_of(cls, str):
            self.text(value)
        elif is_one_of(cls, int):
            self.text(int.__format__(value, "x"))
        else:
            self.text(float.hex(value))
        self._attributes(path, value, cls, depth)

    def _bytes(self, cls: type, value: bytes | bytearray | memoryview) -> None:
        with memoryview(value) as view:
            self._tag(b"b", cls)
            self.hash.update(b"%d:" % view.nbytes)
            self.hash.update(view if view.contiguous else view.tobytes())

    def _members(
        self, kind: bytes, path: str, cls: type, members: Collection[object], depth: int
    ) -> None:
        self._tag(kind, cls)
        self.hash.update(b"%d:" % len(members))
        step = 2 if kind == b"{" else 1
        key: object = ""
        for number, member in enumerate(members):
            if step == 2 and number % 2 == 0:  # noqa: PLR2004 - keys and values in turn
                key = member
                self.value(f"{path}[{number // 2}]", member, depth)
            elif step == 2:  # noqa: PLR2004
                shown = f".{key}" if type(key) is str else f"[{number // 2}]"
                self.value(f"{path}{shown}", member, depth)
            else:
                self.value(f"{path}[{number}]", member, depth)

    def _unordered(self, path: str, cls: type, members: Iterable[object], depth: int) -> None:
        outer, digests = self.hash, list[bytes]()
        for member in members:
            self.hash = hashlib.blake2b(digest_size=32)
            self.value(f"{path}[]", member, depth)
            digests.append(self.hash.digest())
        self.hash = outer
        self._tag(b"<", cls)
        self.hash.update(b"%d:%s" % (len(digests), b"".join(sorted(digests))))

    def _attributes(self, path: str, value: object, cls: type, depth: int) -> None:
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
            self.value(f"{path}.{name}", attribute, depth)
        self.hash.update(b"%d." % len(attributes))


def _has_fields(cls: type) -> bool:
    """Return whether the attributes of an object are all that it holds."""
    if classes_of(cls) & FRAMEWORK_CONTEXTS:
        return False
    return fields_of(cls) is not None or is_secret(cls)


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
