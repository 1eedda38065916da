"""Reads a decorated object: how it is called and bound, and whether it takes `self` or `cls`."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable
from enum import StrEnum
from functools import cached_property, partial, partialmethod, singledispatchmethod
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, TypeAlias

from msgspec import Struct

from remit._base.guard import attempt, guarded
from remit._inspect.introspection import classes_of, unwrapped
from remit._inspect.signature import CallKind
from remit.errors import DeclarationError

AnyCallable: TypeAlias = Callable[..., object]

# (top-level package, class): frameworks that call the function they keep, never the object, so that
# a wrapper around the object would record nothing. By the decorator that makes the object.
_KEPT_BY_FRAMEWORK: Final = {
    ("_pytest", "FixtureFunctionDefinition"): "@pytest.fixture",
    ("celery", "PromiseProxy"): "@app.task",
    ("celery", "Task"): "@app.task",
}
# Python makes class methods of plain functions with these names, and of nothing else.
_CLASS_HOOKS: Final = frozenset({"__init_subclass__", "__class_getitem__"})
_SELF_NAMES: Final = frozenset({"self", "cls", "mcs", "mcls", "metacls", "klass"})


class Wrapping(Struct, frozen=True):
    """An object that holds the function to decorate, such as a class method or a property.

    Attributes:
        decorator: The decorator that makes it, for messages.
        rewrap: Returns the object, or a copy of it, with another function inside.
        takes_self: Whether the function is called with the object or class; None if unknown.
        is_called: Whether the caller calls the attribute; the value of a property is the result.
    """

    decorator: str
    inner: Any
    rewrap: Callable[[Any], object]
    takes_self: bool | None = True
    is_called: bool = False


def unwrap_descriptor(target: object, decorator: str) -> Wrapping | None:
    """Return the wrapping of the function in *target*, None if *target* is not such an object.

    Raises:
        DeclarationError: The function is missing or cannot be replaced.
    """
    classes = classes_of(type(target))
    for kept in classes & _KEPT_BY_FRAMEWORK.keys():
        raise misplaced_error(decorator, _KEPT_BY_FRAMEWORK[kept])
    wrapping = _wrapping(target, is_click_command=("click", "Command") in classes)
    if wrapping is not None and not callable(wrapping.inner):
        raise DeclarationError(
            f"@remit.{decorator} cannot decorate the result of {wrapping.decorator}, which has no "
            "function"
        )
    return wrapping


def misplaced_error(decorator: str, above: str) -> DeclarationError:
    """Return the error of a decorator of remit's that must be under the decorator *above*."""
    return DeclarationError(
        f"@remit.{decorator} cannot decorate the result of {above}: put it below {above}, on "
        "the function"
    )


def _wrapping(target: Any, *, is_click_command: bool) -> Wrapping | None:
    holder: Any = target  # not narrowed by the checks
    if isinstance(target, classmethod):
        return Wrapping("@classmethod", holder.__func__, classmethod, is_called=True)
    if isinstance(target, staticmethod):
        function = holder.__func__
        is_new = getattr(function, "__name__", None) == "__new__"  # called with the class
        return Wrapping("@staticmethod", function, staticmethod, is_new, is_called=True)
    if isinstance(target, property):
        return Wrapping("@property", target.fget, target.getter)
    if isinstance(target, cached_property):
        copied = copy.copy(holder)
        return Wrapping("@cached_property", copied.func, partial(_replaced, copied, "func"))
    if is_click_command:
        # In place: a group that the command was added to keeps this object.
        rewrap = partial(_replaced, target, "callback")
        return Wrapping("@click.command", target.callback, rewrap, takes_self=None)
    return None


def _replaced(holder: object, attribute: str, function: object) -> object:
    setattr(holder, attribute, function)
    return holder


class SelfParameter:
    """Whether the first argument of a call is the object or class that it is called on.

    Such an argument is never recorded. `__set_name__` and `__get__` show it. Under another
    decorator it is decided by the class that the qualified name refers to, else by the parameter's
    name. It is decided when the signature is first needed, so that payloads match the schema.

    Attributes:
        is_self: True or False; None until it is decided.
        by_name: Whether the parameter is named like `self` or `cls`.
    """

    __slots__ = ("_enclosing", "_function", "by_name", "is_self")

    def __init__(self, target: object, is_self: bool | None = None) -> None:  # noqa: FBT001
        """Read the callable *target*; *is_self* is given if it is known already."""
        self._function = function = _function_with_parameters(target)
        code = None if function is None else function.__code__
        is_named_self = bool(code and code.co_argcount and code.co_varnames[0] in _SELF_NAMES)
        # The qualified name of the enclosing class or function, "" at module level.
        self._enclosing = "" if function is None else function.__qualname__.rpartition(".")[0]
        self.by_name = is_named_self if is_self is None else is_self
        self.is_self = False if is_self is None and function is None else is_self

    @guarded("the class around a callable")
    def on_set_name(self, owner: type, name: str) -> None:
        """Handle `__set_name__`: the class *owner* has the callable under *name*."""
        if self.is_self is None and name != "__wrapped__":  # where a framework keeps a copy
            in_body = self._enclosing.rpartition(".")[2] == owner.__name__
            self.is_self = True if self.by_name or in_body else None

    def on_bind(self) -> None:
        """Handle `__get__`: the callable was bound to an object or a class."""
        if self.is_self is None:
            self.is_self = True

    def resolve(self) -> bool:
        """Decide whether the first argument is the object or class."""
        if self.is_self is None:
            self.is_self = self._look_up()
        return self.is_self

    def _look_up(self) -> bool:
        function, enclosing = self._function, self._enclosing
        if function is None or not enclosing or enclosing.endswith("<locals>"):
            return False  # defined outside of any class
        owner: object = sys.modules.get(function.__module__)
        for part in enclosing.split("."):
            owner = vars(owner).get(part) if isinstance(owner, type | ModuleType) else None
        name = function.__name__
        if isinstance(owner, type) and name in vars(owner):
            return name == "__new__" or not isinstance(vars(owner)[name], staticmethod)
        return self.by_name


def _function_with_parameters(target: Any) -> FunctionType | None:
    """Return the innermost function if it takes arguments by position, else None."""
    inner = attempt(lambda: inspect.unwrap(target))
    if isinstance(target, MethodType | partial) or not isinstance(inner, FunctionType):
        return None  # bound methods and partials have their first argument
    code = inner.__code__
    return inner if code.co_argcount or code.co_flags & inspect.CO_VARARGS else None


NO_SELF: Final = SelfParameter(None, is_self=False)


class Binding(StrEnum):
    """How a decorated callable binds in a class."""

    FUNCTION = "function"
    """To the object, as functions do."""
    DESCRIPTOR = "descriptor"
    """By the `__get__` of the object's class."""
    CLASS = "class"
    """To the class, as Python binds the functions in `_CLASS_HOOKS`."""
    NONE = "none"
    """Not at all, as partials and callable objects."""


class CallableInfo(Struct, frozen=True, kw_only=True):
    """A decorated callable.

    Attributes:
        wrapped: The object to wrap: a callable, or a descriptor that returns one.
        function: The callable with the signature of a call.
        skip_first: The first parameter of `function` is named like `self` or `cls`.
        self_parameter: Whether the arguments of a call begin with the object or class.
        is_settled: `skip_first` is final.
        is_object: It is called through the `__call__` of its class.
    """

    wrapped: Any
    function: AnyCallable
    named: AnyCallable
    kind: CallKind
    binding: Binding
    skip_first: bool = False
    self_parameter: SelfParameter = NO_SELF
    is_settled: bool = True
    is_object: bool = False


def callable_info(
    target: Any,
    decorator: str,
    *,
    takes_self: bool | None = None,
) -> CallableInfo:
    """Return how *target* is called, bound and read.

    `takes_self` says whether its first argument is the object or class, None if that is not known.

    Raises:
        DeclarationError: It is not a callable.
    """
    if isinstance(target, type):
        raise DeclarationError(
            f"@remit.{decorator} cannot decorate the class {target.__module__}."
            f"{target.__qualname__}: decorate a method instead"
        )
    if isinstance(target, partialmethod | singledispatchmethod):
        return _method_maker_info(target)
    if not callable(target):
        raise DeclarationError(
            f"@remit.{decorator} cannot decorate an object of type {type(target).__qualname__}: it "
            "decorates functions, methods and other callables"
        )
    is_object = not isinstance(
        target, FunctionType | MethodType | BuiltinFunctionType
    ) and isinstance(target.__call__, FunctionType | MethodType)
    is_decorator = inspect.getattr_static(target, "__wrapped__", None) is not None
    self_parameter = SelfParameter(target, takes_self)
    return CallableInfo(
        wrapped=target,
        function=target,
        named=target if is_object and not is_decorator else unwrapped(target),
        kind=call_kind_of(target.__call__ if is_object else target),
        binding=Binding.FUNCTION if takes_self else _binding_of(target),
        skip_first=self_parameter.by_name,
        self_parameter=self_parameter,
        is_settled=False,
        is_object=is_object,
    )


def _binding_of(target: AnyCallable) -> Binding:
    if isinstance(target, FunctionType):
        return Binding.CLASS if target.__name__ in _CLASS_HOOKS else Binding.FUNCTION
    binds = inspect.getattr_static(target, "__get__", None) is not None
    return Binding.DESCRIPTOR if binds and not isinstance(target, MethodType) else Binding.NONE


def _method_maker_info(target: Any) -> CallableInfo:
    function: Any = getattr(target.func, "__func__", target.func)
    is_static = isinstance(target.func, staticmethod)
    more: dict[str, Any]
    if isinstance(target, singledispatchmethod):  # a call of it dispatches, whatever is registered
        more = {"function": function, "kind": CallKind.FUNCTION, "skip_first": not is_static}
    else:
        preset = target.args if is_static else (None, *target.args)
        more = {
            "function": partial(function, *preset, **target.keywords),
            "kind": call_kind_of(function),
            "self_parameter": SelfParameter(None, function is target.func),
        }
    named = unwrapped(function)
    return CallableInfo(wrapped=target, named=named, binding=Binding.DESCRIPTOR, **more)


def call_kind_of(function: AnyCallable) -> CallKind:
    if inspect.isasyncgenfunction(function):
        return CallKind.ASYNC_GENERATOR
    if inspect.isgeneratorfunction(function):
        code = getattr(unwrapped(function), "__code__", None)
        awaited = isinstance(code, CodeType) and is_awaited(code)
        return CallKind.FUNCTION if awaited else CallKind.GENERATOR
    return CallKind.COROUTINE if inspect.iscoroutinefunction(function) else CallKind.FUNCTION


def is_awaited(code: CodeType) -> bool:
    """Return whether generators of *code* are awaited, as `types.coroutine` declares."""
    return bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)
