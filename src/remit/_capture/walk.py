"""The walk: a bounded, redacted copy of a value as plain JSON, made without running user code.

Whatever is recorded passes through here, on the caller's thread, before it is kept anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, cast

from remit._capture import markers
from remit._capture.categories import category_of_name
from remit._capture.credentials import PRIVATE_KEY
from remit._capture.names import KNOWN, flag_rule, name_rule
from remit._capture.purse import MAX_KEY_CHARS, MAX_NODES, Purse, encode, is_bare
from remit._capture.rule import SECRET_TYPE
from remit._capture.scalars import MAX_EXACT
from remit._capture.shapes import SHAPES, Field, Shape, shape_of
from remit._capture.statics import ABSENT, DICT, is_a, lookup, own_attribute, snapshot

MAX_DEPTH: Final = 12

_ENTRY_CHARS: Final = 4
_PAIR: Final = 2
_MAX_SHARES: Final = 64
_LIGHT_CHARS: Final = 64
_ORDER_CHARS: Final = 256
_ORDER_NODES: Final = 16

LABELS: Final = ("name", "key", "header")
"""Keys whose value may name the `value` in the same object."""

_LABELLED: Final = (("value", LABELS), ("Value", tuple(map(str.capitalize, LABELS))))
"""Fields of a value with their labels; AWS and .NET begin theirs with a capital."""

_UNJUDGED: Final = "?"
"""Not a rule: the name has not been judged yet."""


class Walk(Purse):
    """One walk; made for one payload and thrown away."""

    __slots__ = ()

    def value(self, value: object, depth: int) -> object:
        """Return the plain, redacted copy of *value*, which stands *depth* containers deep."""
        if type(value) is str:
            return self.text(value)
        if value is None or value is True or value is False:
            return value
        if type(value) is int and -MAX_EXACT <= value <= MAX_EXACT:
            return value
        kind = type(value)
        shape = SHAPES.get(id(kind))
        if shape is None:
            shape = shape_of(kind)
        if self.excluded and shape.category in self.excluded:
            return self.withhold(f"category:{shape.category}", value)
        return _READERS[shape.kind](self, value, depth, shape)

    def begin(self, values: Sequence[object]) -> None:
        """Start a payload: share the budget among the large ones of *values*, its entries.

        One that is huge leaves the others what they need.
        """
        self._heavy = 0 if len(values) > _MAX_SHARES else sum(not _is_light(it) for it in values)

    def deeper(self, item: object, depth: int) -> object:
        """Return the copy of what a container at *depth* holds."""
        if depth or _is_light(item):
            return self.value(item, depth + 1)
        share = max(1, self._heavy)
        self._heavy -= 1
        nodes, chars = self.nodes // share, self.chars // share
        kept_nodes, kept_chars = self.nodes - nodes, self.chars - chars
        self.nodes, self.chars = nodes, chars
        copy = self.value(item, 1)
        self.nodes += kept_nodes
        self.chars += kept_chars
        return copy

    def entry(self, name: str, rule: str | None, item: object, depth: int) -> object:
        """Return the copy of *item*, which stands under *name*.

        Args:
            name: A key or a parameter.
            rule: The rule of the name; None and booleans pass it, they give nothing away.
            item: The value.
            depth: How deep the container is.
        """
        if rule is not None and rule not in self.off and not is_bare(item):
            return self.withhold(rule, item)
        if self.declared and name in self.declared:
            return self.withhold(self.declared[name], item)
        if self.excluded:
            category = category_of_name(name)
            if category in self.excluded:
                return self.withhold(f"category:{category}", item)
        return self.deeper(item, depth)

    def pairs(self, entries: Iterable[tuple[object, object]], depth: int) -> dict[str, object]:
        """Return the copy of the entries of a mapping, as far as the budget goes."""
        out: dict[str, object] = {}
        for key, item in entries:
            if self.nodes <= 0 or self.chars <= 0:
                break
            self.nodes -= 1
            if type(key) is str and (rule := KNOWN.get(key, _UNJUDGED)) is not _UNJUDGED:
                name = key
            else:
                name, rule = self.judge(key, len(out) + 1)
            if name in out:
                name = _numbered(name, out)
            self.chars -= len(name) + _ENTRY_CHARS
            out[name] = self.entry(name, rule, item, depth)
        if "value" in out or "Value" in out:
            self.hide_labelled(out)
        return out

    def hide_labelled(self, out: dict[str, object]) -> None:
        """Withhold the value of `{"name": "Authorization", "value": ...}`."""
        for value, labels in _LABELLED:
            if value in out:
                for label in labels:
                    out[value] = self._under(out.get(label), out[value])

    def _under(self, label: object, copy: object) -> object:
        """Return *copy*, or a marker if *label* names something that is withheld."""
        if type(label) is not str or len(label) > MAX_KEY_CHARS:
            return copy
        rule = name_rule(label)
        if rule is None or rule in self.off or is_bare(copy) or markers.is_withheld(copy):
            return copy
        return self.withhold(rule, copy)

    def each(self, items: Iterable[object], depth: int) -> list[object] | None:
        """Return the copies of *items*, as far as the budget goes.

        Returns:
            None if they are the lines of a private key.
        """
        out: list[object] = []
        flag: str | None = None
        for item in items:
            if self.nodes <= 0 or self.chars <= 0:
                break
            self.nodes -= 1
            self.chars -= _ENTRY_CHARS
            if flag is not None and type(item) is str:
                out.append(self.withhold(flag, item))
                flag = None
                continue
            copy = self.value(item, depth + 1)
            if type(item) is str:
                if item[:1] == "-":
                    if markers.rule_of(copy) == PRIVATE_KEY:
                        return None
                    flag = self._rule_of_flag(item)
            else:
                self.hide_second(copy)
            out.append(copy)
        return out

    def _rule_of_flag(self, argument: str) -> str | None:
        rule = flag_rule(argument)
        return None if rule in self.off else rule

    def hide_second(self, copy: object) -> None:
        """Withhold the second of a pair: `("Authorization", ...)`, alone or among others."""
        if type(copy) is list and len(cast("list[object]", copy)) == _PAIR:
            pair = cast("list[object]", copy)
            pair[1] = self._under(pair[0], pair[1])

    def _enter(self, value: object, depth: int) -> bool:
        """Return whether the walk may go into a container: not too deep, not inside itself."""
        if depth >= MAX_DEPTH or id(value) in self._path:
            return False
        self._path.add(id(value))
        return True

    def scalar(self, value: object, depth: int, shape: Shape) -> object:
        """Read a single value."""
        del depth
        plain = shape.plain(value)
        if type(plain) is str:
            return self.text(plain)
        # A number, or a marker with the name of the type in it.
        self.chars -= len(shape.name) + _ENTRY_CHARS
        return plain

    def inner(self, value: object, depth: int, shape: Shape) -> object:
        """Read a value that stands for another."""
        if depth > 2 * MAX_DEPTH:
            return markers.cut_below(depth)
        inner = shape.plain(value)
        rule = self.rule_inside(shape, inner)
        if rule is not None:
            return self.withhold(rule, inner)
        return markers.opaque(shape.name) if inner is value else self.value(inner, depth + 1)

    def secret(self, value: object, depth: int, shape: Shape) -> object:
        """Withhold a value of a secret type."""
        del depth, shape
        return self.withhold(SECRET_TYPE, value)

    def items(self, value: object, depth: int, shape: Shape) -> object:
        """Read a list, a tuple, a deque, a view of a dict."""
        total = shape.size(value)
        if not self._enter(value, depth):
            return markers.cut_below(depth)
        copies = self.each(snapshot(shape.iterate(value), self.nodes), depth)
        self._path.discard(id(value))
        if copies is None:
            return self.withhold(PRIVATE_KEY, value)
        if type(value) is tuple:
            # A lone list of two is as often a list of names.
            self.hide_second(copies)
        return copies if len(copies) >= total else markers.cut(total, "items", copies)

    def unordered(self, value: object, depth: int, shape: Shape) -> object:
        """Read a set, sorted by the encoding of its members; a huge one is not looked into."""
        total = shape.size(value)
        if not self._enter(value, depth):
            return markers.cut_below(depth)
        members = snapshot(shape.iterate(value), MAX_NODES) if total <= MAX_NODES else ()
        copies = self._in_order(members, depth)
        self._path.discard(id(value))
        return copies if len(copies) >= total else markers.cut(total, "items", copies)

    def _in_order(self, members: Iterable[object], depth: int) -> list[object]:
        # Sorted before the walk: what the budget cuts off must not depend on hash seeds.
        return self.each(sorted(members, key=_order), depth) or []

    def mapping(self, value: object, depth: int, shape: Shape) -> object:
        """Read a dict."""
        total = shape.size(value)
        if not self._enter(value, depth):
            return markers.cut_below(depth)
        entries = snapshot(shape.iterate(value), self.nodes)
        if depth == 0:
            self.begin([item for _, item in entries])
        copy = self.pairs(entries, depth)
        self._path.discard(id(value))
        return copy if len(copy) >= total else markers.cut(total, "keys", copy)

    def record(self, value: object, depth: int, shape: Shape) -> object:
        """Read an object by its declared fields."""
        if not self._enter(value, depth):
            return markers.cut_below(depth)
        found = list(_stored(value, shape))
        extra = _extra(value) if shape.extra else {}
        if depth == 0:
            self.begin([item for _, item in found])
        copy: dict[str, object] = {}
        for field, item in found:
            if self.nodes <= 0 or self.chars <= 0:
                break
            self.nodes -= 1
            self.chars -= len(field.name) + _ENTRY_CHARS
            copy[field.name] = self._field(field, item, depth)
        if extra:
            copy.update(self.pairs(snapshot(DICT.items(extra), self.nodes), depth))
        self.hide_labelled(copy)
        self._path.discard(id(value))
        total = len(found) + len(extra)
        return copy if len(copy) >= total else markers.cut(total, "keys", copy)

    def named(self, value: object, depth: int, shape: Shape) -> object:
        """Read a NamedTuple: a list, redacted by the names of its places."""
        if not self._enter(value, depth):
            return markers.cut_below(depth)
        copies: dict[str, object] = {}
        for field, item in zip(shape.fields, shape.iterate(value), strict=False):
            if self.nodes <= 0 or self.chars <= 0:
                break
            self.nodes -= 1
            self.chars -= _ENTRY_CHARS
            copies[field.name] = self._field(field, item, depth)
        self.hide_labelled(copies)
        self._path.discard(id(value))
        total = shape.size(value)
        items = list(copies.values())
        return items if len(items) >= total else markers.cut(total, "items", items)

    def _field(self, field: Field, item: object, depth: int) -> object:
        rule = self.rule_of(field, item)
        return self.deeper(item, depth) if rule is None else self.withhold(rule, item)


_READERS: Final[tuple[Callable[[Walk, object, int, Shape], object], ...]] = (
    Walk.scalar,
    Walk.items,
    Walk.unordered,
    Walk.mapping,
    Walk.record,
    Walk.named,
    Walk.inner,
    Walk.secret,
)
"""By `Kind`."""


def _is_light(value: object) -> bool:
    if type(value) is str:
        return len(value) <= _LIGHT_CHARS
    return is_bare(value) or type(value) is int or type(value) is float


def _numbered(name: str, taken: dict[str, object]) -> str:
    """Return *name* with a number that no other key has."""
    number = len(taken) + 1
    while f"{name} ({number})" in taken:
        number += 1
    return f"{name} ({number})"


class _Small(Walk):
    """A walk of a member of a set, to sort it by.

    A set in it is sorted after the walk: to walk its members before would double the work, and so
    would each set in a set.
    """

    __slots__ = ()

    def _in_order(self, members: Iterable[object], depth: int) -> list[object]:
        return sorted(self.each(members, depth) or [], key=encode)


def _order(member: object) -> tuple[bytes, str]:
    """Return what a member of a set is sorted by: its encoding, and a long text by its rest."""
    small = _Small(_ORDER_CHARS, _ORDER_NODES, scrub=True)
    return encode(small.value(member, 1)), member if type(member) is str else ""


def _stored(value: object, shape: Shape) -> Iterator[tuple[Field, object]]:
    """Yield the fields of an object that have a value."""
    own: dict[str, object] = own_attribute(value, "__dict__") if shape.has_dict else {}
    for field in shape.fields:
        if field.slot:
            item = _slot(value, field.name)
        else:
            item = DICT.get(own, field.name, ABSENT)
            if item is ABSENT:
                # A default that stands in the class only; a property there is an opaque object.
                item = lookup(type(value), field.name)
        if item is not ABSENT:
            yield field, item


def _slot(value: object, name: str) -> object:
    try:
        return own_attribute(value, name)
    except AttributeError:  # never set
        return ABSENT


def _extra(value: object) -> dict[object, object]:
    """Return what a pydantic model took beyond its fields."""
    extra = _slot(value, "__pydantic_extra__")
    return cast("dict[object, object]", extra) if is_a(extra, dict) else {}
