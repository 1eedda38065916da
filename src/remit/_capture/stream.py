"""Captures the items of a stream, one by one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias, cast

from remit._base.guard import attempt
from remit._base.markers import cut_items, redacted, rule_of
from remit._capture.cut import encode
from remit._capture.encode import Rules
from remit._capture.plan import Plan
from remit._capture.rules.pattern_rules import PRIVATE_KEY
from remit._capture.rules.patterns import key_shaped
from remit._capture.walk import ENTRY_CHARS, Walk


class Stream:
    """The recorded part of a stream: the first items within the budget, and the count of all."""

    __slots__ = ("_hidden", "_item_plan", "_items", "_rules", "_walk", "count")

    def __init__(self, rules: Rules, plan: Plan) -> None:
        self.count = 0
        self._rules = rules
        self._item_plan = plan.result_plan
        self._items: list[object] = []
        self._walk = _StreamWalk(rules)
        self._item_plan.apply(self._walk)
        rule = self._item_plan.rule
        self._hidden = None if rule in self._walk.off else rule

    def add(self, item: object) -> None:
        """Keep the redacted copy of an item."""
        self.count += 1
        walk = self._walk
        if self._hidden is not None or walk.nodes <= 0 or walk.chars <= 0:
            return
        walk.chars -= ENTRY_CHARS
        if type(item) is not str:
            # Texts cost no node: the pieces of an answer are many, and short.
            walk.nodes -= 1
        redacted_before = len(walk.counts)
        copy = walk.value(item, 1)
        walk.hide_second(copy)
        self._items.append(copy)
        if PRIVATE_KEY in walk.counts[redacted_before:]:
            # No rule recognises the other lines of the key.
            self._hidden = PRIVATE_KEY

    def payload(self, first_item_ms: float | None) -> bytes:
        """Return the result of the call in UTF-8: `{"items", "count", "first_item_ms"}`.

        *first_item_ms* are the milliseconds to the first item, None if none came.
        """
        rules = self._rules
        first = None if first_item_ms is None else round(first_item_ms, 3)
        paths = _texts_by_path(self._items)
        for texts in paths.values():
            self._walk.hide_continuations(texts)
        rules.count(self._walk.counts)
        hidden = self._hidden or _spread_secret(paths.values(), self._walk.off)
        if hidden is not None:
            rules.count((hidden,))
            payload = self._result(redacted(hidden), first)
            return rules.encode_payload(lambda walk: walk.value(payload, 0), is_copy=True)
        if rules.hook is None:
            data = attempt(lambda: encode(self._result(self._item_list(self._items), first)))
            if isinstance(data, bytes) and len(data) <= rules.max_payload_bytes:
                return data
        return rules.encode_payload(lambda walk: self._rewalk(walk, first), is_copy=True)

    def _rewalk(self, walk: Walk, first: float | None) -> object:
        """Return the payload with as many items as the budget of *walk* allows."""
        walk.turn_off(self._item_plan.off)
        walk.nodes += sum(type(item) is str for item in self._items)
        return self._result(self._item_list(walk.elements(self._items, 1) or []), first)

    def _item_list(self, items: list[object]) -> object:
        return items if len(items) >= self.count else [*items, cut_items(self.count)]

    def _result(self, items: object, first: float | None) -> dict[str, object]:
        return {"items": items, "count": self.count, "first_item_ms": first}


_KEY_CHARS: Final = re.compile(r"[\w+/=.~%-]+")
_KEY_AT_END: Final = re.compile(r"[0-9][\w+/=.~%-]*\Z")
_END_CHARS: Final = 128

_Text: TypeAlias = tuple[Any, int | str]
"""A container, and the index or key in it of a text or of the marker of a text."""


class _StreamWalk(Walk):
    """The walk of all items of a stream.

    Attributes:
        unended: Markers of redacted texts that end with a key, which the next item may continue.
    """

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules.max_payload_bytes, texts=rules.texts, off=rules.off)
        self.unended: dict[int, object] = {}

    def redact(self, rule: str, value: object, category: str | None = None) -> object:
        """Return the marker of *value*; store it if the next item may continue the key."""
        marker = super().redact(rule, value, category)
        if (
            rule.startswith("pattern:")
            and type(value) is str
            and _KEY_AT_END.search(value[-_END_CHARS:])
        ):
            self.unended[id(marker)] = marker
        return marker

    def hide_continuations(self, texts: Sequence[_Text]) -> None:
        """Redact texts that continue a key at the end of an earlier one of *texts*."""
        rule: str | None = None
        for holder, place in texts if self.unended else ():
            text: object = holder[place]
            if type(text) is not str:
                rule = cast("str", rule_of(text)) if id(text) in self.unended else None
            elif rule is not None and text:
                goes_on = _KEY_CHARS.match(text)
                if goes_on:
                    holder[place] = self.redact(rule, "")
                if goes_on is None or goes_on.end() < len(text):
                    rule = None


def _texts_by_path(items: list[object]) -> dict[object, list[_Text]]:
    """Return the texts in *items*, and the markers of texts, by their path in an item.

    An `index` in an item separates several texts that arrive in pieces, as from language models.
    """
    paths: dict[object, list[_Text]] = defaultdict(list)
    for number in range(len(items)):
        _visit(paths, items, number, None)
    return paths


def _visit(
    paths: dict[object, list[_Text]],
    holder: Any,
    key: int | str,
    path: object,
) -> None:
    """Add to *paths* the texts in the value at *key* of *holder*, which is at *path*."""
    value: object = holder[key]
    if type(value) is str or rule_of(value) is not None:
        paths[path].append((holder, key))
    elif type(value) is dict:
        inner = cast("dict[str, object]", value)
        index = inner.get("index")
        for name in inner:
            _visit(paths, inner, name, (path, index if type(index) is int else None, name))
    elif type(value) is list:
        listed = cast("list[object]", value)
        for number in range(len(listed)):
            _visit(paths, listed, number, (path, number))


def _spread_secret(paths: Iterable[Sequence[_Text]], off: frozenset[str]) -> str | None:
    """Return the rule of a secret that is spread over several texts at one path, else None."""
    for place in paths:
        texts = [text for holder, key in place if type(text := holder[key]) is str]
        shaped = key_shaped("".join(texts), off) if len(texts) > 1 else None
        if shaped is not None:
            return shaped
    return None
