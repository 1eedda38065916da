"""Infers data risk from types: the categories of data in a signature, and their consequences.

Only annotations and classes are read. A type that cannot be read hides only its own parts.
"""

from __future__ import annotations

import typing
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Final, Literal, TypeVar
from weakref import WeakKeyDictionary

from msgspec import Struct
from msgspec.structs import asdict

from remit._base.guard import attempt, logger
from remit._base.memo import memoized
from remit._capture.fast import CallPlan, FieldsPlan
from remit._capture.plan import Plan
from remit._capture.type_readers import category_of_any
from remit._declare.registry import SpanType
from remit._declare.risk import redacting, risk_of_words
from remit._inspect.annotations import (
    MISSING,
    SECRETS,
    alias_value,
    bounds_of,
    function_scope,
    is_annotated,
    is_secret,
    own_annotations,
    text_of,
)
from remit._inspect.fields import fields_of, type_arguments
from remit._inspect.introspection import is_class, mro, name_of
from remit._inspect.marks import Sensitive
from remit._inspect.signature import RETURN
from remit._policy.words import declared_words
from remit.errors import DeclarationError
from remit.models.data_risk import DataCategories, DataRisk

MAX_PATHS: Final = 2_000
"""A type with more places than this is not read to its end."""

_HOLD_NO_DATA: Final[frozenset[object]] = frozenset(
    {Literal, type, typing.get_origin(typing.Callable)}
)
"""Forms whose arguments do not describe values inside."""

_OUTPUTS: Final[dict[object, tuple[int, ...]]] = {
    Generator: (0, 2),
    AsyncGenerator: (0,),
    Coroutine: (2,),
}
"""Arguments that describe output; the others are sent in."""


class Side(StrEnum):
    """The side of a call: parameters or result."""

    PARAMS = "params"
    RESULT = "result"

    @property
    def part(self) -> str:
        """The part of a data risk for this side."""
        return f"{self}_data_categories"


_ARGUMENTS: Final = {Side.PARAMS: "takes", Side.RESULT: "gives"}
"""The arguments of `remit.risk` that include a category on a side."""


class Inferred(Struct, frozen=True):
    """A data category that follows from a type.

    Attributes:
        path: Path in the signature: `order.customers[].email`, `return.address`.
        type: Name of the type, or text of the mark.
    """

    category: str
    side: Side
    path: str
    type: str


class TypePath(Struct, frozen=True):
    """The path to one type or mark in a signature.

    Attributes:
        path: Path from the parameter or `return`: `order.customers[].email`.
        name: Name of the parameter or field; "" for a part inside it.
    """

    path: str
    part: object
    name: str = ""


_PLANS: Final[WeakKeyDictionary[SpanType, Plan]] = WeakKeyDictionary()
_IN_EFFECT: Final[WeakKeyDictionary[SpanType, DataRisk | None]] = WeakKeyDictionary()
"""By declaration, so that types are read once and a contradiction is logged once."""


def plan_of(span_type: SpanType) -> Plan:
    plan = _PLANS.get(span_type)
    if plan is None:
        make = FieldsPlan if span_type.of_adapter == "step" else CallPlan
        plan = _PLANS[span_type] = make(
            span_type.recorded_signature,
            keep=span_type.capture,
            **asdict(redacting(span_type.data_risk)),
        )
    return plan


def check_types(span_type: SpanType, where: str) -> None:
    """Check the types as far as they are known at declaration.

    Annotations are evaluated only if they may contain a mistake, because evaluation takes time, and
    the names in them may not exist yet. *where* is the decorator and its place.

    Raises:
        DeclarationError: A `Sensitive` mark is of an unknown category, or a type shows data that
            the declaration excludes.
    """
    for name, annotation in own_annotations(span_type.body).items():
        # A mark of an unknown category raises when it is made.
        if f"{Sensitive.__name__}(" in (text_of(annotation) or ""):
            mark = function_scope(span_type.function).resolve(annotation)
            if isinstance(mark, DeclarationError):
                raise DeclarationError(f"{where}: {name}: {mark}") from mark
    redacted = redacting(span_type.data_risk)
    excludes = redacted.params_excluded or redacted.result_excluded
    # Reads a copy: names that are missing now may exist when the declaration itself is read.
    if excludes and (message := _contradictions(span_type.data_risk, inferred(replace(span_type)))):
        raise DeclarationError(f"{where}: {message}")


def effective(span_type: SpanType) -> DataRisk | None:
    """Return the declared risk with each category included that a type shows.

    The policy compares it, and the registration holds it. Types are read at the first use, when
    the names in annotations exist. A type that contradicts the declaration is logged, and what the
    declaration excludes is redacted from payloads all the same. None if nothing was declared and
    no type shows anything.
    """
    if span_type not in _IN_EFFECT:
        findings = inferred(span_type)
        if message := _contradictions(span_type.data_risk, findings):
            logger.warning("%s (%s): %s", span_type.name, span_type.place, message)
        _IN_EFFECT[span_type] = _completed(span_type.data_risk, findings)
    return _IN_EFFECT[span_type]


def _contradictions(risk: DataRisk | None, findings: Iterable[Inferred]) -> str:
    """Return a sentence about the inferred categories that the declaration excludes, else ""."""
    found = [finding for finding in findings if _word(risk, finding) == "excluded"]
    clauses = [
        f"data_risk excludes {finding.category} from the {finding.side}, but "
        f"`{finding.path}: {finding.type}` is of that category"
        for finding in found
    ]
    arguments = dict.fromkeys(f"{_ARGUMENTS[each.side]}={each.category!r}" for each in found)
    advice = f"Write {' and '.join(arguments)}, or leave such data out of the signature"
    return f"{'; '.join(clauses)}. {advice}" if clauses else ""


def _word(risk: DataRisk | None, finding: Inferred) -> str:
    return str(declared_words(risk)[finding.side.part].get(finding.category, "unknown"))


def _completed(risk: DataRisk | None, findings: Iterable[Inferred]) -> DataRisk | None:
    new = [finding for finding in findings if _word(risk, finding) != "included"]
    if not new:
        return risk
    base = risk_of_words(declared_words(None)) if risk is None else risk
    parts: dict[str, DataCategories] = {}
    for side in Side:
        words = {finding.category: "included" for finding in new if finding.side is side}
        parts[side.part] = getattr(base, side.part).model_copy(update=words)
    return base.model_copy(update=parts)


def inferred(span_type: SpanType) -> tuple[Inferred, ...]:
    """Return each category that a type in the signature shows, in the order of the signature."""
    findings: list[Inferred] = []
    for side, name, annotation, category in _values(span_type):
        if annotation is MISSING and category is not None:
            annotation = Sensitive(category)  # noqa: PLW2901 - the known part
        shown = _shown_by_type(annotation)
        findings += (Inferred(each, side, f"{name}{path}", text) for each, path, text in shown)
    return tuple(dict.fromkeys(findings))


def places_of(span_type: SpanType) -> Iterator[tuple[Side, TypePath]]:
    """Yield each place in the signature of *span_type* that holds data, with its side."""
    for side, name, annotation, category in _values(span_type):
        for place in _places(annotation, name, category):
            yield side, place


def _values(span_type: SpanType) -> Iterator[tuple[Side, str, object, str | None]]:
    """Yield side, name, annotation and category of a mark of each parameter and of the result."""
    signature = span_type.recorded_signature
    for each in signature.parameters:
        yield Side.PARAMS, each.name, each.annotation, each.category
    yield Side.RESULT, RETURN, signature.returns, signature.returns_category


@memoized
def _shown_by_type(annotation: object) -> tuple[tuple[str, str, str], ...]:
    """Return each category that a type shows, with its path from the value and its text."""
    return tuple(
        (category, place.path, text)
        for place in _places(annotation, "", None)
        for category, text in _shown(place.part)
    )


def _shown(part: object) -> Iterator[tuple[str, str]]:
    """Yield the category that a type or a mark shows, with its text."""
    if type(part) is Sensitive:
        if part.category:
            yield part.category, f"Sensitive({part.category!r})"
        return
    # A mark next to a type shows by its class: a validator of phone numbers, for one.
    cls = part if is_class(part) else type(part)
    category = _category_of_class(cls)
    if category is not None:
        yield category, name_of(cls)


def _category_of_class(cls: type) -> str | None:
    return SECRETS if is_secret(cls) else category_of_any(mro(cls))


def _places(annotation: object, name: str, category: str | None) -> Iterator[TypePath]:
    """Yield the places in a value of a resolved annotation, outer ones first.

    Each type is read where it first occurs, so that one that contains itself has an end. An
    annotation that cannot be resolved has only the *category* of its mark.
    """
    pending = deque([TypePath(name, annotation, name)])
    if annotation is MISSING and category is not None:
        pending.append(TypePath(name, Sensitive(category)))
    seen: dict[int, object] = {}  # keeps the types, so that no id is used twice
    for _ in range(MAX_PATHS):
        if not pending:
            break
        place = pending.popleft()
        yield place
        if id(place.part) not in seen:
            seen[id(place.part)] = place.part
            inside = attempt(partial(_inside, place.path, place.part))
            pending.extend(() if isinstance(inside, Exception) else inside)


def _inside(path: str, part: object) -> list[TypePath]:
    if is_annotated(part):
        return _unfolded(path, part)
    if isinstance(part, TypeVar):
        return [TypePath(path, bound) for bound in bounds_of(part)]
    if is_class(part):
        return _in_fields(path, part)
    if (alias := alias_value(part)) is not MISSING:
        return [TypePath(path, alias)]
    origin = typing.get_origin(part)
    if origin is None or origin in _HOLD_NO_DATA:
        return []
    args = typing.get_args(part)
    outputs = _OUTPUTS.get(origin, range(len(args)))
    inner = f"{path}[]" if _has_items(origin) else path
    return [
        *(TypePath(inner, args[number]) for number in outputs if number < len(args)),
        TypePath(path, origin),
    ]


def _unfolded(path: str, annotation: object, name: str = "") -> list[TypePath]:
    """Return the place of a value, and of each mark next to its type."""
    if not is_annotated(annotation):
        return [TypePath(path, annotation, name)]
    marks = (TypePath(path, mark) for mark in annotation.__metadata__)
    return [TypePath(path, annotation.__origin__, name), *marks]


def _in_fields(path: str, cls: type) -> list[TypePath]:
    if _category_of_class(cls) is not None:
        return []  # a coordinate shows all that its latitude could show
    type_args = type_arguments(cls)
    places: list[TypePath] = []
    for field in fields_of(cls) or ():
        inner = f"{path}.{field.name}"
        info = field.read()
        places += _unfolded(inner, info.annotation, field.name)
        if info.annotation is MISSING and info.category is not None:
            places.append(TypePath(inner, Sensitive(info.category)))
        places += (
            TypePath(inner, argument)
            for part in info.parts
            if type(part) is TypeVar
            for argument in type_args.get(part, ())
        )
    return places


def _has_items(origin: object) -> bool:
    """Return whether values of *origin* are iterables without fields."""
    if not is_class(origin) or fields_of(origin) is not None:
        return False
    return issubclass(origin, Iterable | AsyncIterable)
