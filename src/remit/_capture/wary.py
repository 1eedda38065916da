"""A walk that knows what a span was not to tell, and withholds each text that quotes it.

Only spans that had something withheld are walked so: all others go the quicker way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from remit._capture.purse import MARGIN_CHARS, MAX_NODES
from remit._capture.rule import QUOTED
from remit._capture.scalars import MAX_EXACT
from remit._capture.secrets import Known
from remit._capture.walk import Walk


class WaryWalk(Walk):
    """One walk of what a span tells; made for one payload and thrown away."""

    __slots__ = ("_known",)

    def __init__(
        self,
        known: Known,
        chars: int,
        nodes: int = MAX_NODES,
        *,
        again: bool = False,
        scrub: bool = False,
        off: frozenset[str] = frozenset(),
    ) -> None:
        """Fill the purse, as `Walk` does.

        Args:
            known: What must not be told.
            chars: Budget of characters.
            nodes: Budget of values.
            again: The value is the copy that an earlier walk made.
            scrub: Replace lone surrogates.
            off: Rules that are off in this process.
        """
        super().__init__(chars, nodes, again=again, scrub=scrub, off=off)
        self._known = known

    def value(self, value: object, depth: int) -> object:
        """Return the copy of *value*; a number may be a secret too."""
        small = type(value) is int and -MAX_EXACT <= value <= MAX_EXACT
        if small and self._known.quoted_in(str(value)):
            return self.withhold(QUOTED, None)
        return super().value(value, depth)

    def text(self, value: str) -> object:
        """Return *value*, or a marker if it quotes what must not be told."""
        if self._known.quoted_in(value[: max(0, self.chars) + MARGIN_CHARS]):
            return self.withhold(QUOTED, None)
        return super().text(value)

    def pairs(self, entries: Iterable[tuple[object, object]], depth: int) -> dict[str, object]:
        """Return the copy of the entries of a mapping; a key that quotes is replaced."""
        return super().pairs(self._unquoted(entries), depth)

    def _unquoted(
        self, entries: Iterable[tuple[object, object]]
    ) -> Iterator[tuple[object, object]]:
        for number, (key, item) in enumerate(entries, 1):
            quotes = self._known.quoted_by((key,))
            if quotes:
                self.counts.append(QUOTED)
            yield (f"<{QUOTED} {number}>" if quotes else key), item
