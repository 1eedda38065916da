"""The items of a stream, captured one by one as they pass."""

from __future__ import annotations

from typing import Final

from remit._capture.credentials import PRIVATE_KEY
from remit._capture.encode import Rules, encoded
from remit._capture.markers import cut, rule_of, withheld
from remit._capture.patterns import key_shaped
from remit._capture.plan import Plan
from remit._capture.rule import QUOTED
from remit._capture.secrets import Known
from remit._capture.slots import Side, result_slot
from remit._capture.walk import Walk
from remit._capture.wishes import Wishes
from remit._signature import MISSING

_ENTRY_CHARS: Final = 4
_UNDECLARED: Final = result_slot(MISSING, None, Side(None, frozenset(), Wishes()))


class Stream:
    """What is kept of a stream: the first items as far as the budget goes, and how many came.

    Attributes:
        count: How many items came.
    """

    __slots__ = ("_hidden", "_items", "_outcome", "_rules", "_walk", "count")

    def __init__(self, rules: Rules, plan: object) -> None:
        """Begin a stream.

        Args:
            rules: Limits, hook and counts.
            plan: The `Plan` of the callable; anything else declares nothing of its items.
        """
        self.count = 0
        self._rules = rules
        self._outcome = plan.outcome if isinstance(plan, Plan) else _UNDECLARED
        self._items: list[object] = []
        self._walk = Walk(rules.limits.max_payload_bytes, off=rules.off)
        self._outcome.apply(self._walk)
        rule = self._outcome.rule
        self._hidden = None if rule in self._walk.off else rule

    def add(self, item: object) -> None:
        """Take note of an item; nothing is kept of it but its redacted copy."""
        self.count += 1
        walk = self._walk
        if self._hidden is not None or walk.nodes <= 0 or walk.chars <= 0:
            return
        walk.chars -= _ENTRY_CHARS
        if type(item) is not str:
            # Texts cost no node: the pieces of an answer are many, and short.
            walk.nodes -= 1
        copy = walk.value(item, 1)
        walk.hide_second(copy)
        self._items.append(copy)
        if type(item) is str and rule_of(copy) == PRIVATE_KEY:
            # Its other lines look like nothing in particular.
            self._hidden = PRIVATE_KEY

    def payload(self, first_item_ms: float | None, known: Known | None = None) -> bytes:
        """Return what came, as the result of the call.

        Args:
            first_item_ms: Milliseconds to the first item, None if none came.
            known: Texts that it must not hold.

        Returns:
            A JSON object in UTF-8: `items`, `count`, `first_item_ms`.
        """
        rules = self._rules
        first = None if first_item_ms is None else round(first_item_ms, 3)
        rules.count(self._walk.counts)
        hidden = self._hidden or _spread(self._items, self._walk.off, known)
        if hidden is not None:
            rules.count((hidden,))
            payload = self._composed(withheld(hidden), first)
            return rules.seal(lambda walk: walk.value(payload, 0), again=True)
        if rules.hook is None and known is None:
            data = encoded(self._composed(self._listed(self._items), first), rules)
            if data is not None:
                return data
        return rules.seal(lambda walk: self._again(walk, first), again=True, known=known)

    def _again(self, walk: Walk, first: float | None) -> object:
        """Return the payload with as many items as the budget of *walk* allows."""
        walk.turn_off(self._outcome.off)
        walk.nodes += sum(type(item) is str for item in self._items)
        return self._composed(self._listed(walk.each(self._items, 1) or []), first)

    def _listed(self, items: list[object]) -> object:
        return items if len(items) >= self.count else cut(self.count, "items", items)

    def _composed(self, items: object, first: float | None) -> dict[str, object]:
        return {"items": items, "count": self.count, "first_item_ms": first}


def _spread(items: list[object], off: frozenset[str], known: Known | None) -> str | None:
    """Return the rule of what came in pieces, over several texts, else None."""
    texts = [item for item in items if type(item) is str]
    joined = "".join(texts)
    if (shaped := key_shaped(joined, off)) is not None:
        return shaped
    if known is None:
        return None
    # A text that quotes by itself is withheld by itself.
    rest = "".join([each for each in texts if not known.quoted_in(each)])
    return QUOTED if known.quoted_in(rest) else None
