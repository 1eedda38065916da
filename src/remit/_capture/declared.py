"""What an annotation says of redaction: a mark, a secret type, a type that shows its category.

A string annotation is not evaluated. Its names are looked up, and what they stand for is asked:
nothing of the user's runs, and a name that is missing loses nothing but itself.
"""

from __future__ import annotations

import ast
import builtins
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import MappingProxyType, ModuleType
from typing import Final, TypeAlias, TypeVar, cast

import pydantic
from msgspec import Struct
from pydantic.fields import FieldInfo

from remit._annotations import (
    MISSING,
    SECRETS,
    alias_value,
    bounds_of,
    is_sensitive,
    marks_of,
)
from remit._capture.fields import DeclaredField, declared_fields, given_to, hidden_by
from remit._capture.rules import SECRET_TYPE, SENSITIVE_MARK
from remit._capture.rules.categories import category_of_type
from remit._capture.rules.names import name_rule
from remit._capture.statics import is_a, is_class, lookup, module_of, name_of
from remit._guard import attempt

MAX_PIECES: Final = 500
"""An annotation with more parts than this is read no further."""


class Saying(Struct, frozen=True):
    """What an annotation says.

    Attributes:
        rule: The rule that withholds the value, else None.
        category: The data category that a type in it shows, else None.
        generic: Whether there is a type variable in it that nothing is given for.
    """

    rule: str | None = None
    category: str | None = None
    generic: bool = False


Given: TypeAlias = Mapping[object, tuple[object, ...]]
_NOTHING: Final[Given] = MappingProxyType({})


def rule_of_mark(category: str) -> str:
    """Return the rule of a mark of *category*, as `remit._annotations` reads it."""
    return SECRET_TYPE if category == SECRETS else SENSITIVE_MARK


def saying_of(annotation: object, module: str, given: Given = _NOTHING) -> Saying:
    """Return what *annotation* says.

    Args:
        annotation: Resolved or not; strings inside are looked up.
        module: Where names in strings are looked up.
        given: What stands for a type variable.
    """
    rule: str | None = None
    category: str | None = None
    generic = False
    for piece in _pieces(annotation, module, given):
        generic = generic or (type(piece) is TypeVar and piece not in given)
        marks = attempt(partial(marks_of, piece))
        if not isinstance(marks, Exception) and marks.category is not None:
            rule = rule or rule_of_mark(marks.category)
        if is_sensitive(piece):
            rule = rule or SENSITIVE_MARK
        if is_a(piece, FieldInfo):
            rule = rule or hidden_by(cast("FieldInfo", piece))
        if is_class(piece):
            category = category or category_of_type(module_of(piece), name_of(piece))
    return Saying(rule, category, generic)


def saying_of_field(each: DeclaredField, cls: type) -> Saying:
    """Return what the declaration of a field of *cls* says of its values, its name aside."""
    given = given_to(cls)
    said = [saying_of(part, each.module, given) for part in (each.annotation, *each.metadata)]
    return Saying(
        rule=next((one.rule for one in said if one.rule is not None), each.hidden),
        category=next((one.category for one in said if one.category is not None), None),
        generic=any(one.generic for one in said),
    )


def marked_keys(annotation: object, module: str) -> Mapping[str, str]:
    """Return the fields that are withheld by declaration in the classes that *annotation* names.

    A TypedDict, or a dict that is handed in for a model, has no class at run time that could be
    asked: its keys are withheld by these names.

    Returns:
        Rule by field name, of each class in the annotation and of the classes in its fields.
    """
    found: dict[str, str] = {}
    seen: set[int] = set()
    pending: list[tuple[object, str]] = [(annotation, module)]
    while pending and len(seen) < MAX_PIECES:
        for piece in _pieces(*pending.pop()):
            if is_class(piece) and id(piece) not in seen:
                seen.add(id(piece))
                for each in declared_fields(piece) or ():
                    rule = saying_of_field(each, piece).rule
                    if rule is not None and name_rule(each.name) is None:
                        found.setdefault(each.name, rule)
                    pending.append((each.annotation, each.module))
    return found


def _pieces(annotation: object, module: str, given: Given = _NOTHING) -> Iterator[object]:
    """Yield the annotation and all its parts, each once; strings as what their names stand for."""
    pending = [annotation]
    seen: set[int] = set()
    while pending and len(seen) < MAX_PIECES:
        current = pending.pop()
        if id(current) in seen or current is MISSING or current is None:
            continue
        seen.add(id(current))
        yield current
        pending.extend(_parts(current, module, given))


def _parts(annotation: object, module: str, given: Given) -> Iterable[object]:
    if type(annotation) is TypeVar:
        return (*given.get(annotation, ()), *bounds_of(annotation))
    if type(annotation) is typing.ForwardRef:
        return _named_in(annotation.__forward_arg__, module)
    if type(annotation) is str:
        return _named_in(annotation, module)
    inner = attempt(
        lambda: (
            (*typing.get_args(annotation), typing.get_origin(annotation))
            if typing.get_origin(annotation) is not typing.Literal
            else ()
        )
    )
    alias = attempt(lambda: alias_value(annotation))
    return (*(() if isinstance(inner, Exception) else inner), alias)


def _named_in(text: str, module: str) -> Iterator[object]:
    """Yield what the names in the text of an annotation stand for."""
    tree = attempt(lambda: ast.parse(text.strip(), mode="eval"))
    if isinstance(tree, Exception):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            found = _stands_for(node, module)
            if found is not MISSING:
                yield found


def _stands_for(node: ast.expr, module: str) -> object:
    if isinstance(node, ast.Attribute):
        return _member(_stands_for(node.value, module), node.attr)
    if not isinstance(node, ast.Name):
        return MISSING
    home = sys.modules.get(module)
    names = vars(home) if type(home) is ModuleType else {}
    return names.get(node.id, vars(builtins).get(node.id, MISSING))


def _member(owner: object, name: str) -> object:
    if owner is pydantic:
        # Its names are loaded when they are asked for, and older versions do not keep them.
        return getattr(pydantic, name, MISSING)
    if type(owner) is ModuleType:
        return vars(owner).get(name, MISSING)
    found = lookup(owner, name) if is_class(owner) else MISSING
    return found if is_class(found) else MISSING
