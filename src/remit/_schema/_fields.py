"""Which fields of a class their author hid."""

from __future__ import annotations

import dataclasses
from typing import Any

from typing_extensions import is_typeddict

from remit._annotations import class_scope, is_sensitive, marks_of, own_annotations
from remit._records import pydantic_fields


def hidden_fields(cls: type) -> frozenset[str]:
    """Return the names of the fields whose values neither a payload nor a default shows.

    Hidden are `repr=False`, `exclude=True`, secret types and `Annotated[..., Sensitive]`.
    """
    infos = pydantic_fields(cls)
    if infos is not None:
        return frozenset(name for name, field in infos.items() if _hides(field))
    hints, hidden = _declared(cls)
    scope = class_scope(cls)
    marked = {name for name, hint in hints.items() if scope.read(hint).marks.category is not None}
    return frozenset(hidden | marked)


def _declared(cls: Any) -> tuple[dict[str, object], set[str]]:  # noqa: ANN401 - any class
    """Return the annotations of a class's fields, and the names of those with `repr=False`."""
    if dataclasses.is_dataclass(cls):
        fields = dataclasses.fields(cls)
        return {each.name: each.type for each in fields}, {e.name for e in fields if not e.repr}
    return (dict(own_annotations(cls)) if is_typeddict(cls) else {}), set()


def _hides(field: Any) -> bool:  # noqa: ANN401 - pydantic's FieldInfo, or a user's of that shape
    return (
        not field.repr
        or bool(field.exclude)
        or any(is_sensitive(each) for each in field.metadata)
        or marks_of(field.annotation).category is not None
    )
