# Uncounted: a type that cannot be read is a result, not a fault.
"""Annotations: what they resolve to, and the marks that stand in them.

One annotation is resolved at a time, so that a name that is missing at run time loses one
parameter and not the whole signature. Nothing is imported and nothing is called but what an
annotation itself says.
"""

from __future__ import annotations

import builtins
import inspect
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import CodeType, FunctionType, SimpleNamespace, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, cast

from msgspec import Struct

from remit._guard import attempt
from remit._marks import Sensitive, Skip
from remit.errors import DeclarationError

if sys.version_info >= (3, 14):
    from annotationlib import Format

MISSING: Final = inspect.Parameter.empty
"""No annotation, or none that can be resolved."""

SECRETS: Final = "authentication_and_secrets"
"""Category of what pydantic's secret types hold."""

_SECRET_TYPES: Final = frozenset({"SecretStr", "SecretBytes", "Secret"})

_INJECTED: Final = frozenset(
    {
        ("fastapi", "Depends"),
        ("fast_depends", "Depends"),
        ("fast_depends", "Dependant"),
        ("faststream", "Depends"),
        ("taskiq_dependencies", "Dependency"),
        ("litestar", "DependencyKwarg"),
        ("dependency_injector", "Provide"),
    }
)
"""(top-level package, class) of the markers by which frameworks inject an argument."""


class Marks(Struct, frozen=True):
    """What an annotation says beside the type.

    Attributes:
        skip: The value is never recorded: a `Skip`, or a marker of a framework that injects it.
        category: Category of a `Sensitive` mark or of a secret type, "" for none in particular;
            None if neither stands in it.
    """

    skip: bool = False
    category: str | None = None


class Meaning(Struct, frozen=True):
    """What one annotation means.

    Attributes:
        annotation: Resolved; `MISSING` if there is none or it cannot be resolved.
        note: Why it cannot be resolved, else None.
        marks: The marks in it.
    """

    annotation: object
    note: str | None = None
    marks: Marks = Marks()


if sys.version_info >= (3, 14):

    def own_annotations(holder: Any) -> Mapping[str, object]:  # noqa: ANN401 - a class or function
        """Return the annotations of a class body or a function.

        Python 3.14 evaluates annotations when they are read. One that cannot be evaluated, because
        a name is missing or a call in it fails, is returned as a `ForwardRef` with its source; the
        others are not affected. Earlier versions evaluate annotations when the body runs.
        """
        return inspect.get_annotations(holder, format=Format.FORWARDREF)

    def signature_of(
        function: Callable[..., object], *, follow_wrapped: bool = True
    ) -> inspect.Signature:
        """Return the signature of *function*, its annotations as `own_annotations` returns them.

        Raises:
            TypeError, ValueError: The callable has no signature.
        """
        return inspect.signature(
            function, follow_wrapped=follow_wrapped, annotation_format=Format.FORWARDREF
        )

else:

    def own_annotations(holder: Any) -> Mapping[str, object]:  # noqa: ANN401 - a class or function
        """Return the annotations of a class body or a function."""
        return inspect.get_annotations(holder)

    def signature_of(
        function: Callable[..., object], *, follow_wrapped: bool = True
    ) -> inspect.Signature:
        """Return the signature of *function*.

        Raises:
            TypeError, ValueError: The callable has no signature.
        """
        return inspect.signature(function, follow_wrapped=follow_wrapped)


def text_of(annotation: object) -> str | None:
    """Return the source of an annotation that is not evaluated, else None."""
    if type(annotation) is typing.ForwardRef:
        return annotation.__forward_arg__
    return annotation if isinstance(annotation, str) else None


class Scope(Struct, frozen=True):
    """The names that annotations of one function, or of one class, can use.

    Attributes:
        module: Names of the module.
        inner: Names nearer than the module's: closure, type parameters, the class.
    """

    module: dict[str, Any]
    inner: dict[str, Any]

    def read(self, annotation: object) -> Meaning:
        """Return what *annotation* means, its strings evaluated and `Annotated` kept.

        An unresolved name does not lose the mark that stands beside it: the value would be
        recorded against its author's will.
        """
        if annotation is MISSING:
            return Meaning(MISSING)
        resolved = self.resolve(annotation)
        if not isinstance(resolved, Exception):
            marks = attempt(lambda: marks_of(resolved))
            # What cannot be looked through may hold a mark.
            return Meaning(
                resolved, marks=Marks(category="") if isinstance(marks, Exception) else marks
            )
        return Meaning(MISSING, _reason(annotation, resolved), self._marks(annotation))

    def resolve(self, annotation: object) -> object | Exception:
        """Return *annotation* with its strings evaluated, or why they cannot be."""
        return attempt(lambda: _evaluate(annotation, self.module, self.inner))

    def _marks(self, annotation: object) -> Marks:
        """Return the marks in an annotation that cannot be resolved, as far as it can be read."""
        text = text_of(annotation)
        if text is None:
            return marks_of(annotation)
        names = _Lenient(self)
        # The user's own annotation, evaluated as `typing.get_type_hints` does.
        read = attempt(lambda: eval(text, self.module, names))  # noqa: S307
        if isinstance(read, DeclarationError):
            return Marks(category="")  # a mark of an unknown category is a mark all the same
        return Marks() if isinstance(read, Exception) else marks_of(read)


class _Unknown:
    """Stands for a name that is missing; takes whatever an annotation does with a name."""

    def __getattr__(self, name: str) -> _Unknown:
        # `typing` asks for these to tell its own constructs apart.
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, item: object) -> _Unknown:
        return self

    def __call__(self, *_: object, **__: object) -> _Unknown:
        return self

    def __or__(self, other: object) -> object:
        return other

    __ror__ = __or__


class _Lenient(dict[str, object]):
    """Names of a scope, with a stand-in for each that is missing."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope.inner)
        self._module = scope.module

    def __missing__(self, name: str) -> object:
        if name in self._module:
            return self._module[name]
        return getattr(builtins, name, _Unknown())


def _evaluate(annotation: object, module: dict[str, Any], inner: dict[str, Any]) -> object:
    holder = SimpleNamespace(__annotations__={"it": annotation})
    hints = typing.get_type_hints(cast("Any", holder), module, inner, include_extras=True)
    return hints["it"]


def _reason(annotation: object, error: Exception) -> str:
    """Say why an annotation cannot be resolved, in words that no version of Python changes."""
    text = text_of(annotation)
    shown = "annotation" if text is None else f"annotation `{text}`"
    if isinstance(error, NameError):
        return f"{shown} cannot be resolved: no name `{error.name}` at run time"
    if isinstance(error, DeclarationError):
        return f"{shown} cannot be resolved: {error}"
    return f"{shown} cannot be resolved: {type(error).__name__}"


def function_scope(function: Callable[..., object]) -> Scope:
    """Return the names that annotations of *function* can use.

    A name of the class comes last, after the module's and the builtins: a method called `list`
    must not hide what `list[str]` means beside it.
    """
    innermost = unwrapped(function)
    module = cast("dict[str, Any]", getattr(innermost, "__globals__", {}))
    owner = _owner_namespace(innermost)
    known = {*module, *vars(builtins)}
    inner = {name: value for name, value in owner.items() if name not in known}
    inner |= _closure(innermost)
    of_class = cast("tuple[Any, ...]", owner.get("__type_params__", ()))
    for each in (*of_class, *getattr(innermost, "__type_params__", ())):
        inner[each.__name__] = each
    return Scope(module, inner)


def class_scope(cls: type) -> Scope:
    """Return the names that annotations in the body of *cls* can use."""
    module = vars(sys.modules.get(cls.__module__, SimpleNamespace()))
    known = {*module, *vars(builtins)}
    inner = {name: value for name, value in vars(cls).items() if name not in known}
    return Scope(module, {**inner, cls.__name__: cls})


def unwrapped(function: Callable[..., object]) -> Callable[..., object]:
    """Return the function at the bottom of decorators, partials, bound methods and objects."""
    seen: set[int] = set()
    current: Any = function
    while id(current) not in seen:
        seen.add(id(current))
        inner = next(filter(callable, _inner(current)), None)
        current = current if inner is None else inner
    return cast("Callable[..., object]", current)


def _inner(function: object) -> Iterator[object]:
    """Yield what may stand inside a callable, nearest first."""
    if type(function) is FunctionType:  # all but a few, so without the slow look that runs nothing
        yield vars(function).get("__wrapped__")
        return
    if issubclass(type(function), partial):
        yield getattr(function, "func", None)
    for name in ("__wrapped__", "__func__"):
        if inspect.getattr_static(function, name, None) is not None:
            yield getattr(function, name, None)
    called = inspect.getattr_static(type(function), "__call__", None)
    if isinstance(called, FunctionType):
        yield called


def _owner_namespace(function: object) -> Mapping[str, object]:
    """Return the names of the class that *function* is a method of; nothing for a local class."""
    path = str(getattr(function, "__qualname__", "")).split(".")[:-1]
    space = vars(sys.modules.get(str(getattr(function, "__module__", "")), SimpleNamespace()))
    for name in path:
        owner = space.get(name)
        if not isinstance(owner, type):
            return {}
        space = dict(vars(owner))
    return space if path else {}


def _closure(function: object) -> dict[str, object]:
    """Return the free variables of *function* that have a value."""
    code = getattr(function, "__code__", None)
    cells = getattr(function, "__closure__", None)
    if not isinstance(code, CodeType) or not cells:
        return {}
    # A variable that is assigned only later has an empty cell.
    return {
        name: cell.cell_contents
        for name, cell in zip(code.co_freevars, cells, strict=True)
        if not isinstance(attempt(partial(getattr, cell, "cell_contents")), ValueError)
    }


def marks_of(annotation: object) -> Marks:
    """Return the marks in a resolved annotation.

    `Skip` counts where it concerns the whole value: outermost, in an alias, in a union. A
    `Sensitive` mark or a secret type counts anywhere, also inside a container: the walk over the
    values sees plain strings there, so the whole is withheld.
    """
    skip = any(is_skip(each) or is_injected(each) for each in _outer_metadata(annotation))
    categories = tuple(_categories(annotation, set()))
    chosen = next((each for each in categories if each), categories[0] if categories else None)
    return Marks(skip, chosen)


def is_skip(mark: object) -> bool:
    """Return whether *mark* is `Skip`, as a class or an instance."""
    return mark is Skip or type(mark) is Skip


def is_sensitive(mark: object) -> bool:
    """Return whether *mark* is `Sensitive`, as a class or an instance."""
    return mark is Sensitive or type(mark) is Sensitive


def is_injected(marker: object) -> bool:
    """Return whether *marker*, a default or metadata, says that a framework injects the value."""
    return any(
        (cls.__module__.partition(".")[0], cls.__name__) in _INJECTED
        for cls in type(marker).__mro__
    )


def annotated(annotation: object, *metadata: object) -> object:
    """Return `Annotated[annotation, *metadata]`, for what is known at run time only."""
    return Annotated[(annotation, *metadata)]


def is_annotated(annotation: object) -> bool:
    """Return whether *annotation* is `Annotated[...]`."""
    return typing.get_origin(annotation) is Annotated


def is_union(annotation: object) -> bool:
    """Return whether *annotation* is a union in either spelling."""
    return typing.get_origin(annotation) in {typing.Union, UnionType}


def is_alias(annotation: object) -> bool:
    """Return whether *annotation* is a named alias (`type X = ...`)."""
    # By name: typing has the class since Python 3.12, typing_extensions its own before.
    return type(annotation).__name__ == "TypeAliasType"


def alias_value(annotation: object) -> object:
    """Return what a type alias (`type X = ...`) or a `NewType` stands for, else `MISSING`."""
    if isinstance(annotation, typing.NewType):
        return annotation.__supertype__
    if is_alias(annotation):
        value = attempt(lambda: cast("Any", annotation).__value__)
        return MISSING if isinstance(value, Exception) else value
    return MISSING


def bounds_of(annotation: object) -> tuple[object, ...]:
    """Return what a type variable stands for at the widest: its bound, or its constraints."""
    # By its type: an `Unpack` of older typing_extensions passes for an instance of TypeVar.
    if type(annotation) is not TypeVar:
        return ()
    return tuple(each for each in (annotation.__bound__, *annotation.__constraints__) if each)


def type_inside(annotation: object) -> object:
    """Return what an annotation says when `Annotated` and named aliases are looked through."""
    while is_annotated(annotation) or alias_value(annotation) is not MISSING:
        annotation = (
            cast("Any", annotation).__origin__
            if is_annotated(annotation)
            else alias_value(annotation)
        )
    return annotation


def _outer_metadata(annotation: object) -> Iterator[object]:
    """Yield the metadata that concerns the whole value."""
    pending = [annotation]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if is_annotated(current):
            yield from cast("Any", current).__metadata__
            pending.append(cast("Any", current).__origin__)
        elif is_union(current):
            pending.extend(typing.get_args(current))
        else:
            pending.append(alias_value(current))


def _categories(annotation: object, seen: set[int]) -> Iterator[str]:
    """Yield the category of each `Sensitive` mark and secret type, wherever it stands."""
    if id(annotation) in seen:
        return
    seen.add(id(annotation))
    if is_annotated(annotation):
        for mark in filter(is_sensitive, cast("Any", annotation).__metadata__):
            yield mark.category if type(mark) is Sensitive else ""
    if is_secret(annotation):
        yield SECRETS
    if typing.get_origin(annotation) is Literal:
        return
    inner: tuple[object, ...] = (
        *typing.get_args(annotation),
        typing.get_origin(annotation),
        alias_value(annotation),
        *bounds_of(annotation),
    )
    for each in inner:
        yield from _categories(each, seen)


def is_secret(annotation: object) -> bool:
    """Return whether *annotation* is one of pydantic's secret types, or made from one."""
    return isinstance(annotation, type) and any(
        cls.__name__ in _SECRET_TYPES and cls.__module__.startswith("pydantic")
        for cls in annotation.__mro__
    )
