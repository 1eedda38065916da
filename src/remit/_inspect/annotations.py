"""Resolves annotations, and reads their marks and categories.

Each annotation is resolved on its own, so that a name that is missing at run time affects only one
parameter. No code runs except the annotation itself.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from types import CodeType, MappingProxyType, ModuleType, SimpleNamespace
from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias, TypeGuard, TypeVar, cast

import pydantic
from msgspec import Struct
from msgspec.structs import replace
from typing_inspection import typing_objects
from typing_inspection.introspection import is_union_origin

from remit._base.guard import attempt
from remit._base.memo import memoized
from remit._inspect.introspection import classes_of, is_class, unwrapped
from remit._inspect.marks import Sensitive, Skip
from remit.errors import DeclarationError

if sys.version_info >= (3, 14):
    from annotationlib import Format

MISSING: Final = inspect.Parameter.empty
"""No annotation, or none that can be resolved."""

SECRETS: Final = "authentication_and_secrets"
"""Category of the values in pydantic's secret types."""

MAX_PARTS: Final = 2_000
"""An annotation with more parts is not read to its end, and its values are redacted."""

_SECRET_TYPES: Final = frozenset(
    ("pydantic", name) for name in ("SecretStr", "SecretBytes", "Secret")
)

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
"""(top-level package, class) of the marks by which frameworks inject an argument."""

TypeArguments: TypeAlias = Mapping[object, tuple[object, ...]]
"""The arguments of each type variable."""

_NO_ARGUMENTS: Final[TypeArguments] = MappingProxyType({})


class AnnotationInfo(Struct, frozen=True):
    """One annotation with its marks.

    Attributes:
        annotation: Resolved; `MISSING` if there is none or it cannot be resolved.
        note: Why it cannot be resolved, else None.
        skip: The value is never recorded: a `Skip`, or a mark of a framework that injects it.
        category: Category of a `Sensitive` mark or of a secret type, "" for none in particular;
            None without either.
        generic: It contains a type variable without a type argument.
        parts: The annotation and all its parts, outer parts first. A string is replaced by the
            objects that its names refer to.
    """

    annotation: object = MISSING
    note: str | None = None
    skip: bool = False
    category: str | None = None
    generic: bool = False
    parts: tuple[object, ...] = ()


class Scope(Struct, frozen=True):
    """The names that annotations of one function, or of one class, can use.

    Attributes:
        inner: Names nearer than the module's: closure, type parameters, the class.
    """

    module: dict[str, Any]
    inner: dict[str, Any]

    def read(self, annotation: object) -> AnnotationInfo:
        """Resolve and read *annotation*: strings are evaluated, `Annotated` is kept.

        A mark next to a name that does not exist counts, so that the value is not recorded.
        """
        resolved = self.resolve(annotation)
        if not isinstance(resolved, Exception):
            return self.info(resolved)
        note, text = _reason(annotation, resolved), text_of(annotation)
        if text is not None:
            annotation = annotated(object, MISSING, *self._evaluable(text))
        return replace(self.info(annotation), annotation=MISSING, note=note)

    def resolve(self, annotation: object) -> object | Exception:
        """Return *annotation* with its strings evaluated, or the exception."""
        holder: Any = SimpleNamespace(__annotations__={"it": annotation})
        hints = partial(typing.get_type_hints, holder, self.module, self.inner, include_extras=True)
        return MISSING if annotation is MISSING else attempt(lambda: hints()["it"])

    def info(
        self, annotation: object, type_arguments: TypeArguments = _NO_ARGUMENTS
    ) -> AnnotationInfo:
        """Read *annotation* without resolving it.

        `Skip` counts where it concerns the whole value: outermost, in an alias, in a union. A
        `Sensitive` mark and a secret type count anywhere, also inside a container: the values
        there are plain strings, so the whole value is redacted.
        """
        parts = tuple(islice(self._parts(annotation, type_arguments), MAX_PARTS))
        categories = [category for category in map(_category, parts) if category is not None]
        if len(parts) == MAX_PARTS:
            categories.append("")  # there may be a mark in the rest
        return AnnotationInfo(
            annotation,
            skip=attempt(partial(_is_skipped, annotation)) is True,
            category=next(filter(None, categories), categories[0] if categories else None),
            generic=any(type(part) is TypeVar and part not in type_arguments for part in parts),
            parts=parts,
        )

    def _parts(self, annotation: object, type_arguments: TypeArguments) -> Iterator[object]:
        """Yield an annotation and all its parts, each once; metadata before its type."""
        pending = [annotation]
        seen: dict[int, object] = {}  # keeps them, so that no id is used twice
        while pending:
            part = pending.pop()
            if part is MISSING or part is None or id(part) in seen:
                continue
            seen[id(part)] = part
            yield part
            inside = attempt(partial(self._inside, part, type_arguments))
            if isinstance(inside, Exception):
                continue
            if is_annotated(part):
                *metadata, bare = inside
                yield from metadata
                inside = [bare]
            pending.extend(reversed(inside))

    def _inside(self, part: object, type_arguments: TypeArguments) -> Sequence[object]:
        text = text_of(part)
        if text is not None:
            return self._named(text)
        if type(part) is TypeVar:
            return (*type_arguments.get(part, ()), *bounds_of(part))
        origin = typing.get_origin(part)
        if origin is Literal:
            return ()
        if is_annotated(part):
            return (*part.__metadata__, part.__origin__)
        return (*typing.get_args(part), origin, alias_value(part))

    def _named(self, text: str) -> list[object]:
        """Return the objects that the names in an annotation's text refer to; do not evaluate it.

        A value's class may come from any source, so its annotations are not run as code.
        """
        return [self._value_of(node) for node in _nodes(text, ast.Name, ast.Attribute)]

    def _evaluable(self, text: str) -> list[object]:
        """Return the parts of an annotation that can be evaluated: its names and its calls."""
        calls = map(ast.unparse, _nodes(text, ast.Call))
        return [*self._named(text), *map(self.resolve, calls)]

    def _value_of(self, node: ast.AST) -> object:
        """Return the object of a plain or dotted name; `MISSING` if that would run code."""
        if isinstance(node, ast.Name):
            known = self.module.get(node.id, vars(builtins).get(node.id, MISSING))
            return self.inner.get(node.id, known)
        if not isinstance(node, ast.Attribute):
            return MISSING
        owner = self._value_of(node.value)
        if owner is pydantic:  # which imports its names when they are first used
            return getattr(pydantic, node.attr, MISSING)
        return (
            vars(owner).get(node.attr, MISSING) if isinstance(owner, ModuleType | type) else MISSING
        )


NO_NAMES: Final = Scope({}, {})


@memoized
def resolved_info(annotation: object) -> AnnotationInfo:
    """Read an *annotation* whose strings are evaluated already, or are not to be."""
    return NO_NAMES.info(annotation)


def function_scope(function: Callable[..., object]) -> Scope:
    """Return the names that annotations of *function* can use.

    Names of the class come last, after the module's and the builtins: a method named `list` must
    not hide the builtin in `list[str]`.
    """
    innermost = unwrapped(function)
    module = cast("dict[str, Any]", getattr(innermost, "__globals__", {}))
    owner = _owner_namespace(innermost)
    inner = _without_builtins(owner, module) | _closure(innermost)
    of_class = cast("tuple[Any, ...]", owner.get("__type_params__", ()))
    for type_parameter in (*of_class, *getattr(innermost, "__type_params__", ())):
        inner[type_parameter.__name__] = type_parameter
    return Scope(module, inner)


def class_scope(cls: type) -> Scope:
    """Return the names that annotations in the body of *cls* can use."""
    home = sys.modules.get(cls.__module__)
    module = vars(home) if isinstance(home, ModuleType) else {}
    return Scope(module, _without_builtins(vars(cls), module) | {cls.__name__: cls})


def own_annotations(holder: Any) -> Mapping[str, object]:
    """Return the annotations of a class body or a function.

    Python 3.14 evaluates annotations when they are read. One that cannot be evaluated, because a
    name is missing or a call in it fails, is then a `ForwardRef` with its source; the others are
    not affected. Earlier versions evaluate annotations when the body runs.
    """
    if sys.version_info >= (3, 14):
        annotations = inspect.get_annotations(holder, format=Format.FORWARDREF)
        if not any(map(_has_placeholder, annotations.values())):
            return annotations
        texts = inspect.get_annotations(holder, format=Format.STRING)
        return {
            name: texts[name] if _has_placeholder(annotation) else annotation
            for name, annotation in annotations.items()
        }
    return inspect.get_annotations(holder)


def signature_of(
    function: Callable[..., object], *, follow_wrapped: bool = True
) -> inspect.Signature:
    """Return the signature of *function*, its annotations as of `own_annotations`.

    Raises:
        TypeError, ValueError: The callable has no signature.
    """
    signature = partial(inspect.signature, function, follow_wrapped=follow_wrapped)
    if sys.version_info >= (3, 14):
        evaluated = signature(annotation_format=Format.FORWARDREF)
        parameters = evaluated.parameters
        annotations = [parameter.annotation for parameter in parameters.values()]
        if not any(map(_has_placeholder, (*annotations, evaluated.return_annotation))):
            return evaluated
        written = signature(annotation_format=Format.STRING)
        return evaluated.replace(
            parameters=[
                written.parameters[name] if _has_placeholder(parameter.annotation) else parameter
                for name, parameter in parameters.items()
            ],
            return_annotation=written.return_annotation
            if _has_placeholder(evaluated.return_annotation)
            else evaluated.return_annotation,
        )
    return signature()


def _has_placeholder(annotation: object) -> bool:
    """Return whether Python 3.14 put placeholders for names into the text of an annotation.

    It does where a name next to them is missing: `Missing | SecretStr`. The source has the names.
    """
    text = text_of(annotation)
    if text is not None:
        return "__annotationlib_name_" in text
    inside = attempt(partial(typing.get_args, annotation))
    return not isinstance(inside, Exception) and any(map(_has_placeholder, inside))


def text_of(annotation: object) -> str | None:
    """Return the source of an annotation that is not evaluated, else None."""
    if type(annotation) is typing.ForwardRef:
        return annotation.__forward_arg__
    # Not by `isinstance`, which asks an object of the user's for its `__class__`.
    return cast("str", annotation) if issubclass(type(annotation), str) else None


def _nodes(text: str, *kinds: type[ast.AST]) -> list[ast.AST]:
    """Return the parts of these kinds in an annotation's text, none if it is not Python.

    A string in it is read as an annotation too, except in a call or in `Literal`: with
    `from __future__ import annotations`, quotes around a type are part of the text.
    """
    tree = attempt(lambda: ast.parse(text.strip(), mode="eval"))
    pending: list[tuple[ast.AST, bool]] = [] if isinstance(tree, Exception) else [(tree, True)]
    nodes: list[ast.AST] = []
    for node, is_type in pending:  # which grows
        if isinstance(node, kinds):
            nodes.append(node)
        if is_type and isinstance(node, ast.Constant) and isinstance(node.value, str):
            nodes += _nodes(node.value, *kinds)
        has_types = is_type and not isinstance(node, ast.Call) and not _is_literal(node)
        pending += [(inner, has_types) for inner in ast.iter_child_nodes(node)]
    return nodes


def _is_literal(node: ast.AST) -> bool:
    if not isinstance(node, ast.Subscript):
        return False
    return ast.unparse(node.value).rpartition(".")[2] == "Literal"


def _reason(annotation: object, error: Exception) -> str:
    """Return why an annotation cannot be resolved; the text is the same on every Python."""
    text = text_of(annotation)
    subject = "annotation" if text is None else f"annotation `{text}`"
    if isinstance(error, NameError):
        return f"{subject} cannot be resolved: no name `{error.name}` at run time"
    if isinstance(error, DeclarationError):
        return f"{subject} cannot be resolved: {error}"
    return f"{subject} cannot be resolved: {type(error).__name__}"


def _without_builtins(names: Mapping[str, Any], module: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names of a class that are neither the module's nor builtins."""
    return {
        name: value
        for name, value in names.items()
        if name not in module and name not in vars(builtins)
    }


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
    code = getattr(function, "__code__", None)
    cells = getattr(function, "__closure__", None)
    names: dict[str, object] = {}
    if isinstance(code, CodeType) and cells:
        for name, cell in zip(code.co_freevars, cells, strict=True):
            with suppress(ValueError):  # a variable that is assigned only later
                names[name] = cell.cell_contents
    return names


def _category(part: object) -> str | None:
    """Return the category of a mark or a secret type, None for another part of an annotation."""
    if type(part) is Sensitive:
        return part.category
    return "" if part is Sensitive else SECRETS if is_secret(part) else None


def _is_skipped(annotation: object) -> bool:
    """Return whether a `Skip` or an injection mark concerns the whole value."""
    if is_annotated(annotation):
        return _is_skipped(annotation.__origin__) or any(
            mark is Skip or type(mark) is Skip or is_injected(mark)
            for mark in annotation.__metadata__
        )
    if is_union(annotation):
        return any(map(_is_skipped, typing.get_args(annotation)))
    alias = alias_value(annotation)
    return alias is not MISSING and _is_skipped(alias)


def is_injected(mark: object) -> bool:
    """Return whether *mark*, a default or metadata, marks a value that a framework injects."""
    return not _INJECTED.isdisjoint(classes_of(type(mark)))


def annotated(annotation: object, *metadata: object) -> object:
    """Return `Annotated[annotation, *metadata]`."""
    return Annotated[(annotation, *metadata)]


class _Annotated(Protocol):
    """The attributes of `Annotated[...]`."""

    __origin__: object
    __metadata__: tuple[object, ...]


def is_annotated(annotation: object) -> TypeGuard[_Annotated]:
    """Return whether *annotation* is `Annotated[...]`."""
    return typing.get_origin(annotation) is Annotated


def is_union(annotation: object) -> bool:
    """Return whether *annotation* is a union in either spelling."""
    return is_union_origin(typing.get_origin(annotation))


def alias_value(annotation: object) -> object:
    """Return the value of a type alias (`type X = ...`) or a `NewType`, else `MISSING`."""
    if typing_objects.is_newtype(annotation):
        return annotation.__supertype__
    if typing_objects.is_typealiastype(annotation):
        value = attempt(lambda: annotation.__value__)
        return MISSING if isinstance(value, Exception) else value
    return MISSING


def is_unevaluated_alias(annotation: object) -> bool:
    """Return whether *annotation* is a `type` alias with a name in it that does not exist."""
    if not typing_objects.is_typealiastype(annotation):
        return False
    return isinstance(attempt(lambda: annotation.__value__), Exception)


def bounds_of(annotation: TypeVar) -> tuple[object, ...]:
    """Return the bound or the constraints of a type variable."""
    return tuple(bound for bound in (annotation.__bound__, *annotation.__constraints__) if bound)


def type_inside(annotation: object) -> object:
    """Return *annotation* without `Annotated` and with named aliases replaced by their value."""
    while True:
        alias = alias_value(annotation)
        if is_annotated(annotation):
            annotation = annotation.__origin__
        elif alias is not MISSING:
            annotation = alias
        else:
            return annotation


def is_secret(annotation: object) -> bool:
    """Return whether *annotation* is one of pydantic's secret types, or made from one."""
    return is_class(annotation) and not _SECRET_TYPES.isdisjoint(classes_of(annotation))
