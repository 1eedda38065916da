"""Where a JSON Schema holds further schemas, and how each of them is applied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias, cast

Schema: TypeAlias = dict[str, object]

HERE: Final = "here"
"""Applied to the same value."""
BRANCH: Final = "branch"
"""Applied to the same value, perhaps once more to say why it does not match."""
MEMBER: Final = "member"
"""Applied to the member of that name."""
OTHERS: Final = "others"
"""Applied to members that no name was given for."""
MEMBERS: Final = "members"
"""Applied to any member."""
PLACE: Final = "place"
"""Applied to the item at one place."""
ITEMS: Final = "items"
"""Applied to any item."""

_ONE: Final = {
    "not": BRANCH,
    "if": BRANCH,
    "then": HERE,
    "else": HERE,
    "additionalProperties": OTHERS,
    "unevaluatedProperties": MEMBERS,
    "propertyNames": MEMBERS,
    "items": ITEMS,
    "additionalItems": ITEMS,
    "contains": ITEMS,
    "unevaluatedItems": ITEMS,
}
_SEVERAL: Final = {
    "allOf": HERE,
    "anyOf": BRANCH,
    "oneOf": BRANCH,
    "prefixItems": PLACE,
    "items": PLACE,
}
_NAMED: Final = {
    "properties": MEMBER,
    "patternProperties": MEMBERS,
    "dependentSchemas": HERE,
    "dependencies": HERE,
}
APPLYING: Final = frozenset({*_ONE, *_SEVERAL, *_NAMED})


class Inner(NamedTuple):
    """A schema inside another.

    Attributes:
        keyword: The keyword that holds it.
        name: Its name there, if it has one.
        applied: To what it is applied.
        schema: The schema itself; `true` and `false` are left out.
    """

    keyword: str
    name: str
    applied: str
    schema: Schema


def inner(schema: Schema) -> Iterator[Inner]:
    """Yield the schemas that stand directly inside *schema*, without its references."""
    for keyword, value in schema.items():
        if isinstance(value, dict):
            if keyword in _ONE:
                yield Inner(keyword, "", _ONE[keyword], cast("Schema", value))
            elif keyword in _NAMED:
                for name, each in cast("Schema", value).items():
                    if isinstance(each, dict):
                        yield Inner(keyword, name, _NAMED[keyword], cast("Schema", each))
        elif isinstance(value, list) and keyword in _SEVERAL:
            for each in cast("list[object]", value):
                if isinstance(each, dict):
                    yield Inner(keyword, "", _SEVERAL[keyword], cast("Schema", each))
