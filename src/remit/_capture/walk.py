"""The walk: makes a bounded, redacted copy of a value as plain JSON without running user code.

Every recorded value is walked on the caller's thread before it is stored. A walk is bounded in
depth, values and characters; markers replace values beyond a bound. After the walk, `cut` decides
which part of the payload is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, cast

import msgspec

from remit._base import markers
from remit._capture.cut import MARKER_BYTES, LongText, encode, ends
from remit._capture.redacted import RedactedTexts
from remit._capture.rules.categories import category_of_name
from remit._capture.rules.names import (
    KEY_RULES,
    cache_key,
    flag_rule,
    name_rule,
)
from remit._capture.rules.pattern_rules import PRIVATE_KEY
from remit._capture.rules.patterns import LONG_TEXT_CHARS, SHORTEST, SIGN, key_shaped
from remit._capture.rules.switches import CATEGORY_OF_RULE, SECRET_TYPE
from remit._capture.scalars import MAX_EXACT, binary_text, may_be_binary
from remit._capture.type_readers import (
    READERS,
    FieldRules,
    MarkedKey,
    TypeReader,
    ValueKind,
    extra_fields,
    reader_of,
    stored_fields,
)
from remit._inspect.introspection import DICT, TUPLE, is_a, snapshot

MAX_DEPTH: Final = 12
MAX_NODES: Final = 2_000
MAX_KEY_CHARS: Final = 256
MAX_INNER: Final = 3
"""Values that contain a single other value are unwrapped to this depth."""

MARGIN_CHARS: Final = 512
"""Keys that begin in the kept beginning of a text are searched this far beyond it."""

TAIL_MARGIN_CHARS: Final = 4_096
"""Keys that end in the kept end of a text are searched this far before it, as private keys are."""

LOOK_BACK: Final = 256
"""How many items before the kept ones are searched for a flag or the beginning of a private key."""

_UNJUDGED: Final = ""
"""No rule has this name."""

_FIRST_CONTAINER: Final = int(ValueKind.ITEMS)
_MAX_CACHED_CHARS: Final = 64
_MARKER_CHARS: Final = 48
ENTRY_CHARS: Final = 4
_PAIR: Final = 2
_MAX_SHARES: Final = 64
_LIGHT_CHARS: Final = 64
_FRONT: Final = 4
_LARGEST: Final = 8
_ORDER_CHARS: Final = 256
_ORDER_NODES: Final = 16

LABELS: Final = ("name", "key", "header")
"""Keys whose value may name the `value` in the same object."""

_LABELLED: Final = (("value", LABELS), ("Value", tuple(map(str.capitalize, LABELS))))
"""Names of a value with the names of its labels; AWS and .NET begin theirs with a capital."""

decode: Final = msgspec.json.Decoder().decode


class Walk:
    """One walk, for one payload.

    A list beyond a bound keeps its beginning and its end. If other values then get too little, a
    second walk divides the bounds among the members of an object and the items of a list.

    Attributes:
        nodes: Number of values that may still be visited.
        chars: Approximate number of characters that may still be read; a long text that is not read
            yet counts as at most an eighth of them.
        long_chars: Number of characters in long texts that are not read yet.
        exceeded: Something was left out, because the walk had reached a bound.
        starved: Something was left out that a second walk may keep: members of an object, or what
            follows something that was too large.
        off: Rules that are off for the current value.
        ever_off: Rules that were off for any value of the walk.
        declared: The fields that a declaration marks, by key.
        counts: The rule of each value redacted so far.
    """

    def __init__(  # noqa: PLR0913 - the settings of a walk, by name
        self,
        chars: int,
        nodes: int = MAX_NODES,
        *,
        is_copy: bool = False,
        scrub: bool = False,
        texts: RedactedTexts | None = None,
        off: frozenset[str] = frozenset(),
        delays: bool = False,
        shares: bool = False,
    ) -> None:
        """Begin a walk.

        Args:
            is_copy: The value is the copy of an earlier walk, whose markers are kept.
            scrub: Replace lone surrogates, which UTF-8 cannot encode.
            texts: Collects the texts of redacted values.
            off: Rules that are off in this process.
            delays: Long texts are read when they are encoded, except the first ones.
        """
        self.chars: int = chars
        self.nodes: int = nodes
        self.long_chars = 0
        self.exceeded = self.starved = False
        self._most_chars = chars
        self.off = self.ever_off = self._always_off = off
        self.excluded: frozenset[str] = frozenset()
        self.declared: Mapping[str, MarkedKey] = {}
        self.counts: list[str] = []
        self._is_copy = is_copy
        self._scrub = scrub
        self._texts = texts
        self._path: set[int] = set()
        self._delays = delays
        self._shares = shares

    def _left_out(self) -> None:
        self.starved = self.exceeded
        self.exceeded = True

    def turn_off(self, rules: frozenset[str]) -> None:
        """Turn *rules* off for the next values, besides those that are off in the process."""
        self.off = self._always_off | rules if rules else self._always_off
        self.ever_off |= rules

    def exclude(self, categories: frozenset[str]) -> None:
        """Redact values of *categories* whose rules are not off."""
        if self.off:
            categories = frozenset(
                category for category in categories if f"category:{category}" not in self.off
            )
        self.excluded = categories

    def value(self, value: object, depth: int) -> object:
        """Return the plain, redacted copy of *value*, which is *depth* containers deep."""
        if type(value) is str:
            return self.text(value)
        is_exact = type(value) is int and -MAX_EXACT <= value <= MAX_EXACT
        if is_exact or value is None or value is True or value is False:
            return value
        kind = type(value)
        reader = READERS.get(id(kind))
        if reader is None:
            reader = reader_of(kind)
        if self.excluded and reader.category in self.excluded:
            return self.redact(f"category:{reader.category}", value)
        if reader.kind < _FIRST_CONTAINER:
            return _BY_KIND[reader.kind](self, value, depth, reader)
        if depth >= MAX_DEPTH or id(value) in self._path:
            return markers.cut_below(depth)
        self._path.add(id(value))
        copy = _BY_KIND[reader.kind](self, value, depth, reader)
        self._path.discard(id(value))
        return copy

    def text(self, value: str) -> object:
        """Return *value*, its marker, or a `LongText` if it is read later."""
        size = len(value)
        if size < SHORTEST and SIGN not in value and size <= self.chars and value.isascii():
            self.chars -= size
            return value
        if size > LONG_TEXT_CHARS:
            binary = binary_text(value) if may_be_binary(value) is not None else None
            if binary is not None:
                self.chars -= _MARKER_CHARS
                return binary
            if self._delays:
                self.chars -= min(size, self._most_chars // _LARGEST)
                self.long_chars += size
                if self.long_chars <= self._most_chars // 2:
                    return self._read(value, None, self.off)
                if self._scrub:
                    value = replace_surrogates(value)
                off = self.off
                return LongText(value, lambda text, room: self._read(text, room, off))
        room = None
        if size > self.chars and not self._delays:
            room = max(0, self.chars)
            self._left_out()
        self.chars -= size if room is None else room
        return self._read(value, room, self.off)

    def _read(self, value: str, room: int | None, off: frozenset[str]) -> object:
        """Return *value*, or a marker with what stays of it in *room* bytes of JSON."""
        if self._scrub:
            value = replace_surrogates(value)
        size = len(value)
        if room is None:
            rule = None if size < SHORTEST and SIGN not in value else key_shaped(value, off)
            return value if rule is None else self.redact(rule, value)
        try:
            head, tail = ends(value, room - MARKER_BYTES)
        except UnicodeEncodeError:  # not every walk is repeated for lone surrogates
            value = replace_surrogates(value)
            head, tail = ends(value, room - MARKER_BYTES)
        reach, back = len(head) + MARGIN_CHARS, len(tail) + TAIL_MARGIN_CHARS
        if reach + back >= size:
            rule = key_shaped(value, off)
        else:
            rule = key_shaped(value[:reach], off) or key_shaped(value[-back:], off)
        return markers.cut_text(size, head, tail) if rule is None else self.redact(rule, value)

    def redact(self, rule: str, value: object, category: str | None = None) -> object:
        """Return the marker that replaces *value*, data of *category*, and count it."""
        if self._is_copy and markers.is_redacted(value):
            return value
        self.counts.append(rule)
        self.chars -= _MARKER_CHARS
        self.collect(value, category or CATEGORY_OF_RULE.get(rule))
        return markers.redacted(rule)

    def collect(self, value: object, category: str | None) -> None:
        """Redact the texts in *value*, data of *category*, from what the run records later."""
        if self._texts is not None:
            self._texts.add(value.text if type(value) is LongText else value, category)

    def rule_of(self, field: FieldRules, item: object) -> str | None:
        """Return the rule that redacts *item* in *field*, None if it is recorded."""
        if field.rule is not None:
            return field.rule
        rule = field.name_rule
        if rule is not None and rule not in self.off and not is_harmless(item):
            return rule
        if field.generic and field.name in self.declared:
            return self.declared[field.name].rule
        if self.excluded and field.category in self.excluded:
            return f"category:{field.category}"
        return None

    def category_of(self, field: FieldRules) -> str | None:
        """Return the data category of the values in *field*."""
        if field.generic and field.name in self.declared:
            return self.declared[field.name].category
        return field.category

    def rule_inside(self, reader: TypeReader, inner: object) -> str | None:
        """Return the rule that redacts *inner*, the value inside a value that *reader* reads."""
        return self.rule_of(reader.fields[0], inner) if reader.fields else None

    def redact_key(self, key: object, position: int) -> tuple[str, str | None]:
        """Return the key of a dict as it is written, and the rule that redacts its value.

        Its *position* in the dict distinguishes keys without a text.
        """
        name = key if type(key) is str else self._key_text(key, position)
        # The beginning of a longer name is recorded, and its end is checked.
        head = name[: MAX_KEY_CHARS + MARGIN_CHARS]
        short = len(name) < SHORTEST and SIGN not in name
        shaped = None if short else key_shaped(head, self.off)
        if shaped is not None:
            self.counts.append(shaped)
            return f"<{shaped} {position}>", None
        rule = name_rule(name if type(key) is str else _judged_name(key, name))
        if len(name) > MAX_KEY_CHARS:
            name = f"{name[:MAX_KEY_CHARS]}..."
        elif name != "remit" and name.lstrip("$") == "remit":
            name = name if self._is_copy else f"${name}"
        elif name is key and self._is_unchanged(name):
            cache_key(name, rule)
        return replace_surrogates(name) if self._scrub else name, rule

    def _is_unchanged(self, name: str) -> bool:
        """Return whether *name* is recorded unchanged, whatever rules are off."""
        if len(name) > _MAX_CACHED_CHARS or replace_surrogates(name) != name:
            return False
        return not self.off or key_shaped(name) is None

    def _key_text(self, key: object, position: int) -> str:
        reader = reader_of(type(key))
        for _ in range(MAX_INNER):
            if reader.kind is not ValueKind.UNWRAP:
                break
            key = reader.plain(key)
            rule = self.rule_inside(reader, key)
            if rule is not None:
                self.counts.append(rule)
                return f"<{rule} {position}>"
            reader = reader_of(type(key))
        if reader.kind is ValueKind.SECRET:
            self.counts.append(SECRET_TYPE)
            return f"<{SECRET_TYPE} {position}>"
        if type(key) is bytes:
            text = _text_of_bytes(key)
            return f"<bytes {position}>" if text is None else text
        plain = reader.plain(key) if reader.kind is ValueKind.SCALAR else key
        if type(plain) is str:
            return plain
        if is_harmless(plain) or type(plain) is int or type(plain) is float:
            return encode(plain).decode()
        return f"<{reader.name} {position}>"

    def in_turn(self, items: Sequence[object]) -> Iterator[int]:
        """Yield the places of *items*, which share the bounds, in the order of reading.

        While the walk is at a place, it has the share of this item; what one leaves is for the
        following ones, so the large ones come last.
        """
        if not self._shares or len(items) > _MAX_SHARES:
            yield from range(len(items))
            return
        weights = [_weight(item) for item in items]
        heavy = sum(1 for weight in weights if weight)
        for place in sorted(range(len(items)), key=weights.__getitem__):
            if not weights[place]:
                yield place
                continue
            nodes, chars = max(0, self.nodes), max(0, self.chars)
            self.nodes, self.chars = nodes // heavy, chars // heavy
            kept_nodes, kept_chars = nodes - self.nodes, chars - self.chars
            yield place
            self.nodes += kept_nodes
            self.chars += kept_chars
            heavy -= 1

    def _entry(self, name: str, rule: str | None, item: object, depth: int) -> object:
        """Return the copy of *item*, the value under *name*; *rule* is the rule of the name."""
        if rule is not None and rule not in self.off and not is_harmless(item):
            return self.redact(rule, item)
        if self.declared and name in self.declared:
            marked = self.declared[name]
            return self.redact(marked.rule, item, marked.category)
        if self.excluded:
            category = category_of_name(name)
            if category in self.excluded:
                return self.redact(f"category:{category}", item)
        return self.value(item, depth + 1)

    def _pairs(self, entries: Sequence[tuple[object, object]], depth: int) -> dict[str, object]:
        """Return the copies of a mapping's entries, as far as the bounds allow."""
        if self._shares and len(entries) <= _MAX_SHARES:
            return self._sharing_pairs(entries, depth)
        out: dict[str, object] = {}
        for key, item in entries:
            if self.nodes <= 0 or self.chars <= 0:
                break
            name, rule = self._name_of(key, out)
            out[name] = self._entry(name, rule, item, depth)
        if "value" in out or "Value" in out:
            self.hide_labelled(out)
        return out

    def _name_of(self, key: object, out: dict[str, object]) -> tuple[str, str | None]:
        """Return the name of *key* among *out*, and the rule that redacts its value."""
        self.nodes -= 1
        if type(key) is str and (rule := KEY_RULES.get(key, _UNJUDGED)) is not _UNJUDGED:
            name = key
        else:
            name, rule = self.redact_key(key, len(out) + 1)
        if name in out:
            name = _unique_key(name, out)
        self.chars -= len(name) + ENTRY_CHARS
        return name, rule

    def _sharing_pairs(
        self, entries: Sequence[tuple[object, object]], depth: int
    ) -> dict[str, object]:
        """Return the copies of a mapping's entries, which share what is left of the bounds."""
        out: dict[str, object] = {}
        members: list[tuple[str, str | None, object]] = []
        for key, item in entries:
            if self.nodes <= 0 or self.chars <= 0:
                break
            name, rule = self._name_of(key, out)
            out[name] = None
            members.append((name, rule, item))
        for place in self.in_turn([item for _, _, item in members]):
            name, rule, item = members[place]
            out[name] = self._entry(name, rule, item, depth)
        self.hide_labelled(out)
        return out

    def hide_labelled(self, out: dict[str, object]) -> None:
        """Redact the value of `{"name": "Authorization", "value": ...}`."""
        for value, labels in _LABELLED:
            if value in out:
                for label in labels:
                    if label in out:
                        out[value] = self._hide_if_labelled(out[label], out[value])

    def _hide_if_labelled(self, label: object, copy: object) -> object:
        """Return *copy*, or a marker if *label* names something that is redacted."""
        if type(label) is not str or len(label) > MAX_KEY_CHARS:
            return copy
        rule = name_rule(label)
        if rule is None or rule in self.off or is_harmless(copy) or markers.is_redacted(copy):
            return copy
        return self.redact(rule, copy)

    def elements(
        self, items: Sequence[object], depth: int, *, gap: int | None = None
    ) -> list[object] | None:
        """Return the copies of *items*, as far as the bounds allow.

        Args:
            gap: Where items are missing among them.

        Returns:
            With a marker in place of items that were left out; None if the items are the lines of a
            private key.
        """
        after_flags = self._after_flags(items)
        if after_flags is None:
            return None
        total = len(items)
        if total <= _PAIR and gap is None:
            return self._copies(items, range(total), depth, after_flags)
        copies = self._copies(
            items,
            range(total if gap is None else gap),
            depth,
            after_flags,
            least=(self.nodes - self.nodes // _FRONT, self.chars - self.chars // _FRONT),
        )
        first = len(copies)
        start = first if gap is None else gap
        if start < total:
            copies += reversed(
                self._copies(items, range(total - 1, start - 1, -1), depth, after_flags)
            )
        if gap is not None or len(copies) < total:
            copies.insert(first, markers.cut_items(total))
            self._left_out()
        return copies

    def _copies(
        self,
        items: Sequence[object],
        places: range,
        depth: int,
        after_flags: Mapping[int, str],
        least: tuple[int, int] = (0, 0),
    ) -> list[object]:
        """Return the copies of items; stop when only *least* nodes or characters are left."""
        copies: list[object] = []
        nodes, chars = least
        divides = self._shares and len(places) > 1
        for place in places:
            if self.nodes <= nodes or self.chars <= chars:
                break
            self.nodes -= 1
            self.chars -= ENTRY_CHARS
            item = items[place]
            if place in after_flags:
                copies.append(self.redact(after_flags[place], item))
            elif type(item) is str:
                copies.append(self.text(item))
            else:
                copy = self._half(item, depth) if divides else self.value(item, depth + 1)
                copies.append(copy)
                if type(copy) is list:
                    self._hide_value_of(item, cast("list[object]", copy))
        return copies

    def _half(self, item: object, depth: int) -> object:
        """Return the copy of *item*, which must not use what the other items of a list need."""
        nodes, chars = self.nodes // 2, self.chars // 2
        self.nodes -= nodes
        self.chars -= chars
        copy = self.value(item, depth + 1)
        self.nodes += nodes
        self.chars += chars
        return copy

    def _after_flags(self, items: Sequence[object]) -> dict[int, str] | None:
        """Return the rules of the texts that follow a flag, such as `--password`, by their places.

        Returns:
            None if a private key begins among them, in lines.
        """
        rules: dict[int, str] = {}
        flag: str | None = None
        for place, item in enumerate(items):
            if type(item) is not str:
                if self._is_copy and markers.is_redacted(item):
                    flag = None  # the earlier walk redacted what follows the flag
                continue
            if flag is not None:
                rules[place], flag = flag, None
            elif item[:1] == "-":
                if key_shaped(item[:MARGIN_CHARS], self.off) == PRIVATE_KEY:
                    return None
                flag = flag_rule(item)
                if flag in self.off:
                    flag = None
        return rules

    def hide_second(self, copy: object) -> None:
        """Redact the second of a pair: `("Authorization", ...)`, alone or among others."""
        if type(copy) is list and len(cast("list[object]", copy)) == _PAIR:
            pair = cast("list[object]", copy)
            pair[1] = self._hide_if_labelled(pair[0], pair[1])

    def _hide_value_of(self, item: object, copy: list[object]) -> None:
        """Redact the second of a pair, *copy* being the copy of *item*: `(b"password", ...)`."""
        self.hide_second(copy)
        if type(item) is tuple and len(cast("tuple[object, ...]", item)) == _PAIR:
            label = cast("tuple[object, ...]", item)[0]
            if type(label) is bytes:
                copy[-1] = self._hide_if_labelled(_text_of_bytes(label), copy[-1])

    def scalar(self, value: object, depth: int, reader: TypeReader) -> object:
        """Read a single value."""
        del depth
        plain = reader.plain(value)
        if type(plain) is str:
            return self.text(plain)
        # A number, or a marker with the name of the type in it.
        self.chars -= len(reader.name) + ENTRY_CHARS
        return plain

    def unwrap(self, value: object, depth: int, reader: TypeReader) -> object:
        """Read the value inside another."""
        if depth > 2 * MAX_DEPTH:
            return markers.cut_below(depth)
        inner = reader.plain(value)
        rule = self.rule_inside(reader, inner)
        if rule is not None:
            return self.redact(rule, inner, self.category_of(reader.fields[0]))
        return markers.opaque(reader.name) if inner is value else self.value(inner, depth + 1)

    def secret(self, value: object, depth: int, reader: TypeReader) -> object:
        """Redact a value of a secret type."""
        del depth, reader
        return self.redact(SECRET_TYPE, value)

    def items(self, value: object, depth: int, reader: TypeReader) -> object:
        """Read a list, a tuple, a deque, a view of a dict."""
        total, room = reader.size(value), max(0, self.nodes)
        gap: int | None = None
        if total <= room:
            items = snapshot(reader.iterate(value), room)
        else:
            gap = room // _FRONT
            items = snapshot(reader.iterate(value), gap)
            items += reader.last(value, min(total - gap, room - gap + LOOK_BACK))
        return self._listed(self.elements(items, depth, gap=gap), value, total)

    def _listed(self, copies: list[object] | None, value: object, total: int) -> object:
        """Return the copies of the items of *value*, with a marker if some are left out."""
        if copies is None:
            return self.redact(PRIVATE_KEY, value)
        if type(value) is tuple:
            # A lone list of two is as often a list of names.
            self.hide_second(copies)
        if len(copies) < total:
            marker = next(filter(markers.is_gap, copies), None)
            if marker is None:
                self.exceeded = self.starved = True
                return [*copies, markers.cut_items(total)]
            cast("markers.Marker", marker)["of"] = total
        return copies

    def unordered(self, value: object, depth: int, reader: TypeReader) -> object:
        """Read a set, sorted by the encoding of its members; a huge one is not read."""
        total = reader.size(value)
        members = snapshot(reader.iterate(value), MAX_NODES) if total <= MAX_NODES else ()
        return self._listed(self._in_order(members, depth), value, total)

    def _in_order(self, members: Sequence[object], depth: int) -> list[object] | None:
        # Sorted before the walk, so that the members within the budget do not depend on hash seeds.
        return self.elements(sorted(members, key=_sort_key), depth)

    def mapping(self, value: object, depth: int, reader: TypeReader) -> object:
        """Read a dict."""
        total = reader.size(value)
        copy = self._pairs(snapshot(reader.iterate(value), self.nodes), depth)
        return self._keyed(copy, total)

    def by_fields(self, value: object, depth: int, reader: TypeReader) -> object:
        """Read an object by its declared fields."""
        stored = list(stored_fields(value, reader))
        extra = extra_fields(value) if reader.extra else {}
        copy = self._fields(stored, depth)
        if extra:
            copy.update(self._pairs(snapshot(DICT.items(extra), self.nodes), depth))
        self.hide_labelled(copy)
        total = len(stored) + len(extra)
        return self._keyed(copy, total)

    def named_tuple(self, value: object, depth: int, reader: TypeReader) -> object:
        """Read a NamedTuple as a list, redacted by the names of its fields."""
        stored = list(zip(reader.fields, reader.iterate(value), strict=False))
        copy = self._fields(stored, depth, are_keys=False)
        self.hide_labelled(copy)
        total = reader.size(value)
        items = list(copy.values())
        if len(items) >= total:
            return items
        self.exceeded = self.starved = True
        return [*items, markers.cut_items(total)]

    def _keyed(self, copy: dict[str, object], total: int) -> dict[str, object]:
        """Return the copy of an object, in a marker if some of its *total* keys are left out."""
        if len(copy) >= total:
            return copy
        self.exceeded = self.starved = True
        return markers.cut_keys(total, copy)

    def _fields(
        self, stored: Sequence[tuple[FieldRules, object]], depth: int, *, are_keys: bool = True
    ) -> dict[str, object]:
        """Return the copies of the fields of an object, as far as the bounds allow."""
        copy: dict[str, object] = {}
        later: list[tuple[str, object]] = []
        shares = self._shares and len(stored) <= _MAX_SHARES
        for field, item in stored:
            if self.nodes <= 0 or self.chars <= 0:
                break
            self.nodes -= 1
            self.chars -= (len(field.name) if are_keys else 0) + ENTRY_CHARS
            rule = self.rule_of(field, item)
            if rule is not None:
                copy[field.name] = self.redact(rule, item, self.category_of(field))
            elif shares:
                copy[field.name] = None
                later.append((field.name, item))
            else:
                copy[field.name] = self.value(item, depth + 1)
        for place in self.in_turn([item for _, item in later]) if later else ():
            name, item = later[place]
            copy[name] = self.value(item, depth + 1)
        return copy


_BY_KIND: Final[tuple[Callable[[Walk, object, int, TypeReader], object], ...]] = (
    Walk.scalar,
    Walk.secret,
    Walk.unwrap,
    Walk.items,
    Walk.unordered,
    Walk.mapping,
    Walk.by_fields,
    Walk.named_tuple,
)
"""By `ValueKind`."""


def _weight(value: object) -> int:
    """Return a number that is larger for values of which more is to be read; 0 for short ones."""
    if type(value) is str:
        return 0 if len(value) <= _LIGHT_CHARS else 1
    if is_harmless(value) or type(value) is int or type(value) is float:
        return 0
    if type(value) is list or type(value) is dict or type(value) is tuple:
        return 2 + len(cast("Sequence[object]", value))
    return 2


def _text_of_bytes(key: bytes) -> str | None:
    """Return the text of a short key in ASCII, as HTTP headers and Redis have them, else None."""
    if len(key) > MAX_KEY_CHARS or not key.isascii():
        return None
    text = key.decode("ascii")
    return text if text.isprintable() else None


def _judged_name(key: object, name: str) -> str:
    """Return the text of *key* that the rules by name judge; for a tuple, the last text in it."""
    if not is_a(key, tuple):
        return name
    for part in reversed(tuple(TUPLE.__iter__(key))):
        text = _text_of_bytes(part) if type(part) is bytes else part
        if type(text) is str:
            return text
    return name


def _unique_key(name: str, taken: dict[str, object]) -> str:
    number = len(taken) + 1
    while f"{name} ({number})" in taken:
        number += 1
    return f"{name} ({number})"


class _SortWalk(Walk):
    """A walk of a member of a set, for its sort key.

    Sets inside it are sorted after the walk, because a walk of their members before it would double
    the work at each level.
    """

    def _in_order(self, members: Sequence[object], depth: int) -> list[object] | None:
        copies = self.elements(members, depth)
        return None if copies is None else sorted(copies, key=encode)


def _sort_key(member: object) -> tuple[bytes, str]:
    """Return the sort key of a member of a set: its encoding, and for a string its full text."""
    small = _SortWalk(_ORDER_CHARS, _ORDER_NODES, scrub=True)
    return encode(small.value(member, 1)), member if type(member) is str else ""


def is_harmless(value: object) -> bool:
    """Return whether *value* is recorded even under the name of a secret: None or a boolean."""
    return value is None or value is True or value is False


def replace_surrogates(text: str) -> str:
    """Return *text* with `?` in place of lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
