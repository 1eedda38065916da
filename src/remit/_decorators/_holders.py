"""What holds a function rather than being one: the function inside is decorated and put back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Final, cast

from msgspec import Struct

from remit.errors import DeclarationError

# (top-level package, class): its framework runs the function that it keeps, never the object, so
# that a wrapper around the object would record nothing. Named here, because the order that works
# is the same for each.
_KEPT_BY_FRAMEWORK: Final = {
    ("_pytest", "FixtureFunctionDefinition"): "@pytest.fixture",
    ("celery", "PromiseProxy"): "@app.task",
    ("celery", "Task"): "@app.task",
}


class Holder(Struct, frozen=True):
    """A holder of a function.

    Attributes:
        above: The decorator that makes it, for messages.
        inner: The function.
        put: Returns the holder, or one like it, with another function inside.
        receiver: Whether the function is called with the object or class; None if nobody knows.
        is_called: What it gives is called, and not what the function returned.
    """

    above: str
    inner: Any
    put: Callable[[Any], object]
    receiver: bool | None = True
    is_called: bool = False


def holder_of(given: object, decorator: str) -> Holder | None:
    """Return how *given* holds a function, None if it does not hold one.

    Raises:
        DeclarationError: It holds none, or one that cannot be replaced; says what to do instead.
    """
    kinds = {(cls.__module__.partition(".")[0], cls.__name__) for cls in type(given).__mro__}
    for each in kinds & _KEPT_BY_FRAMEWORK.keys():
        raise misplaced(decorator, _KEPT_BY_FRAMEWORK[each])
    holder = _holder(given, kinds)
    if holder is not None and not callable(holder.inner):
        raise DeclarationError(
            f"@remit.{decorator} cannot decorate what {holder.above} made without a function"
        )
    return holder


def misplaced(decorator: str, above: str) -> DeclarationError:
    """Return the error of a decorator of ours that stands above one that it belongs under."""
    return DeclarationError(
        f"@remit.{decorator} cannot decorate what {above} made: put it under {above}, on the "
        "function"
    )


def _holder(given: Any, kinds: set[tuple[str, str]]) -> Holder | None:  # noqa: ANN401 - anything
    if isinstance(given, classmethod):
        return Holder("@classmethod", _inside(given), classmethod, is_called=True)
    if isinstance(given, staticmethod):
        function = _inside(given)
        # The one that is static and called with its class all the same.
        is_new = getattr(function, "__name__", None) == "__new__"
        return Holder("@staticmethod", function, staticmethod, receiver=is_new, is_called=True)
    if isinstance(given, property):
        return Holder("@property", given.fget, given.getter)
    if isinstance(given, cached_property):
        own: Any = copy.copy(cast("Any", given))
        return Holder("@cached_property", own.func, partial(_with, own, "func"))
    if ("click", "Command") in kinds:
        # In place: a group that the command was added to keeps this very object.
        put = partial(_with, given, "callback")
        return Holder("@click.command", given.callback, put, receiver=None)
    return None


def _inside(method: Any) -> Any:  # noqa: ANN401 - a static or class method
    return method.__func__


def _with(holder: object, attribute: str, function: object) -> object:
    setattr(holder, attribute, function)
    return holder
