"""Whether the first argument of a call is the object or class that the function is called on.

What a function is put into decides, not what its author calls the parameter: a method whose first
parameter is `this` has a receiver, a static method whose first is `self` has none. That is known
after decoration: from the class that takes the function up, from what binds it, or, where another
decorator stands above ours, from what that left in the class. It is settled when the signature is
first needed, and stays so: payloads have the keys of the schema.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any, Final

from remit._capture.statics import is_class, mro, name_of, namespace
from remit._guard import attempt, guarded

_BY_CONVENTION: Final = frozenset({"self", "cls", "mcs", "mcls", "metacls", "klass"})
"""What a receiver is called; decides where nothing else does."""

_LOCALS: Final = "<locals>"


class Receiver:
    """The first argument of one callable.

    Attributes:
        taken: Whether it is the object or class of the call; None until that is settled.
        by_name: What the name of the parameter lets one expect.
    """

    __slots__ = ("_function", "by_name", "taken")

    def __init__(self, given: object, taken: bool | None = None) -> None:  # noqa: FBT001 - as said
        """Look at a callable.

        Args:
            given: The callable, or what keeps a function.
            taken: What is known from elsewhere.
        """
        self._function = _innermost(given)
        self.by_name = _is_named_so(self._function) if taken is None else taken
        # A bound method and a partial have theirs already.
        self.taken = False if taken is None and self._function is None else taken

    @guarded("what a callable is put into")
    def put_into(self, owner: type, name: str) -> None:
        """Take note that the body of a class holds the callable under *name*."""
        if self.taken is None and name != "__wrapped__":  # where a framework keeps a copy
            scope = self._path.rpartition(".")[0]
            self.taken = True if self.by_name or scope == name_of(owner) else None

    @guarded("what a callable is bound to")
    def bound(self) -> None:
        """Take note that the callable was bound to an object or a class."""
        if self.taken is None:
            self.taken = True

    def find(self, args: tuple[object, ...] = ()) -> bool:
        """Settle whether the first argument is the receiver.

        Args:
            args: Those of the first call, if there is one: they show a class inside a function.
        """
        if self.taken is None:
            self.taken = self._found(args)
        return self.taken

    def _found(self, args: tuple[object, ...]) -> bool:
        scope, _, name = self._path.rpartition(".")
        if not scope or scope.endswith(_LOCALS):
            return False  # defined outside of any class
        owner = self._owner(scope) or _owner_of(args, scope)
        if owner is not None and name in namespace(owner):
            return name == "__new__" or type(namespace(owner)[name]) is not staticmethod
        # Called with something else first, it is called on nothing.
        return self.by_name and (owner is not None or not args)

    @property
    def _path(self) -> str:
        return "" if self._function is None else self._function.__qualname__

    def _owner(self, scope: str) -> type | None:
        """Return the class whose body the function stands in, if its module holds it."""
        names: Any = vars(sys.modules.get(str(getattr(self._function, "__module__", ""))) or sys)
        found: object = None
        for part in scope.split("."):
            found = names.get(part)
            if not is_class(found):
                break
            names = namespace(found)
        return found if is_class(found) else None


def _owner_of(args: tuple[object, ...], scope: str) -> type | None:
    """Return the class called *scope* that the first argument is, or is an object of."""
    for first in args[:1]:
        classes = (*(mro(first) if is_class(first) else ()), *mro(type(first)))
        return next((each for each in classes if name_of(each) == scope), None)
    return None


def _innermost(given: Any) -> FunctionType | None:  # noqa: ANN401 - whatever can be called
    """Return the function in its decorators that takes arguments by position, None if none does."""
    inner = attempt(lambda: inspect.unwrap(given))  # an object may claim to wrap itself
    if isinstance(given, MethodType | partial) or not isinstance(inner, FunctionType):
        return None
    code: CodeType = inner.__code__
    takes_some = code.co_argcount or code.co_flags & inspect.CO_VARARGS
    return inner if takes_some else None


def _is_named_so(function: Callable[..., object] | None) -> bool:
    code = getattr(function, "__code__", None)
    return (
        isinstance(code, CodeType)
        and code.co_argcount > 0
        and code.co_varnames[0] in _BY_CONVENTION
    )


NO_RECEIVER: Final = Receiver(None, taken=False)
"""No argument is the receiver: it stands beside them."""
