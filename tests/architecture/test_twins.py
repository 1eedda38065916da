"""The clients' sync and async twins offer the same, and differ only in `await`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import get_type_hints

from remit.client import AsyncClient, Client

# What the two are called where Python or httpx already has a word for each.
ASYNC_NAMES = {"close": "aclose", "__enter__": "__aenter__", "__exit__": "__aexit__"}
WITH_METHODS = ("__init__", "__enter__", "__exit__")


def pairs(sync: type, twin: type) -> Iterator[tuple[type, type]]:
    """Yield the two classes, then those of their endpoints' groups."""
    yield sync, twin
    hints, twin_hints = groups(sync), groups(twin)
    assert hints.keys() == twin_hints.keys()
    for name in hints:
        yield from pairs(hints[name], twin_hints[name])


def groups(owner: type) -> dict[str, type]:
    """Return the public attributes of *owner* that are classes of the client."""
    hints: dict[str, object] = dict(get_type_hints(owner))
    for name, member in inspect.getmembers(owner, lambda member: isinstance(member, property)):
        hints[name] = get_type_hints(member.fget).get("return")
    return {
        name: hint
        for name, hint in hints.items()
        if not name.startswith("_")
        and isinstance(hint, type)
        and hint.__module__.startswith("remit.client")
    }


def methods(owner: type) -> set[str]:
    """Return the names of the methods that *owner* offers."""
    found = {name for name, _ in inspect.getmembers(owner, inspect.isfunction)}
    return {name for name in found if not name.startswith("_") or name in WITH_METHODS}


def test_the_twins_have_the_same_methods_with_the_same_parameters() -> None:
    """Whoever knows the one knows the other."""
    for sync, twin in pairs(Client, AsyncClient):
        for name in methods(sync):
            other = ASYNC_NAMES.get(name, name)
            ours = inspect.signature(getattr(sync, name)).parameters.values()
            theirs = inspect.signature(getattr(twin, other)).parameters.values()
            assert list(map(shape, ours)) == list(map(shape, theirs)), f"{sync.__name__}.{name}"


def test_the_async_twin_has_no_method_more() -> None:
    """Nothing can be done in one of them only."""
    sync_names = {name: other for other, name in ASYNC_NAMES.items()}
    for sync, twin in pairs(Client, AsyncClient):
        theirs = {sync_names.get(name, name) for name in methods(twin)}
        assert theirs <= methods(sync)


def test_every_call_of_the_async_twin_is_awaited() -> None:
    """A method that talks to the server is a coroutine function in the one, plain in the other."""
    for sync, twin in pairs(Client, AsyncClient):
        for name in methods(sync) - {"__init__"}:
            other = getattr(twin, ASYNC_NAMES.get(name, name))
            assert not inspect.iscoroutinefunction(getattr(sync, name))
            assert inspect.iscoroutinefunction(other) or inspect.isasyncgenfunction(other), name


def shape(parameter: inspect.Parameter) -> tuple[object, ...]:
    """Return what a caller sees of *parameter*; `httpx.BaseTransport` has a twin of its own."""
    annotation = (
        str(parameter.annotation).replace("Async", "").replace("BaseTransport", "Transport")
    )
    return parameter.name, parameter.kind, parameter.default, annotation
