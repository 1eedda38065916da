# Uncounted: a type that cannot be read is a result, not a fault.
"""Reads the rule that withholds an annotated value, and its data category, from the annotation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, cast

from pydantic.fields import FieldInfo

from remit._base.guard import attempt
from remit._capture.rules.categories import category_of_type
from remit._capture.rules.names import name_rule
from remit._capture.rules.switches import SECRET_TYPE, SENSITIVE_MARK
from remit._inspect.annotations import NO_NAMES, SECRETS, AnnotationInfo
from remit._inspect.fields import annotated_fields_of, hidden_by
from remit._inspect.introspection import is_class, module_of, name_of

MAX_CLASSES: Final = 500
"""Fields of more classes in one annotation are not read."""


def rule_of_mark(category: str) -> str:
    """Return the rule of a mark of *category*, as `AnnotationInfo` has it."""
    return SECRET_TYPE if category == SECRETS else SENSITIVE_MARK


def rule_of(info: AnnotationInfo) -> str | None:
    """Return the rule by which an annotation withholds its value, else None."""
    if info.category is not None:
        return rule_of_mark(info.category)
    hidden = (
        hidden_by(cast("FieldInfo", part))
        for part in info.parts
        if issubclass(type(part), FieldInfo)  # `isinstance` would ask the object
    )
    return next(filter(None, hidden), None)


def type_category(info: AnnotationInfo) -> str | None:
    """Return the data category that a type in an annotation shows, else None."""
    classes = filter(is_class, info.parts)
    shown = (category_of_type(module_of(cls), name_of(cls)) for cls in classes)
    return next(filter(None, shown), None)


def marked_keys(annotation: object) -> Mapping[str, str]:
    """Return the fields that are withheld by declaration in the classes that *annotation* names.

    A TypedDict, or a dict in place of a model, has no class at run time: its keys are withheld by
    these names.

    Returns:
        Rule by field name, of each class in the annotation and of the classes in its fields.
    """
    rules: dict[str, str] = {}
    seen: set[int] = set()
    pending = list(NO_NAMES.info(annotation).parts)
    while pending and len(seen) < MAX_CLASSES:
        part = pending.pop()
        if not is_class(part) or id(part) in seen:
            continue
        seen.add(id(part))
        infos = attempt(partial(annotated_fields_of, part))
        for field, info in () if isinstance(infos, Exception) else infos:
            rule = rule_of(info) or field.hidden
            if rule is not None and name_rule(field.name) is None:
                rules.setdefault(field.name, rule)
            pending.extend(info.parts)
    return rules
