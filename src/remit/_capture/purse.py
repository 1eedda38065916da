"""What a walk may spend, and what it does with a single text, a single key, a withheld value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from remit._capture import markers
from remit._capture.names import MAX_JUDGED_CHARS, name_rule, remember
from remit._capture.patterns import SHORTEST, SIGN, key_shaped
from remit._capture.rule import SECRET_TYPE
from remit._capture.secrets import gather
from remit._capture.shapes import Field, Kind, Shape, shape_of

MAX_NODES: Final = 2_000
MAX_KEY_CHARS: Final = 256
MAX_KNOWN_CHARS: Final = 64
MAX_INNER: Final = 3
"""So many values that stand for another are opened: an enum in a root model, and one more."""

MARGIN_CHARS: Final = 512
"""How far beyond the kept part of a text a key is looked for that begins in it."""

_MARKER_CHARS: Final = 48

encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder().decode


class Purse:
    """The budget of one walk, and the reading of what needs no further walk.

    Attributes:
        nodes: How many more values may be visited.
        chars: How many more characters may be written, about.
        off: Rules that withhold nothing now.
        ever_off: Rules that withheld nothing at some time of the walk.
        excluded: Data categories whose values are withheld.
        declared: Rules by key, of fields that a declaration marks.
        counts: The rule of each value withheld so far.
    """

    __slots__ = (
        "_again",
        "_always_off",
        "_heavy",
        "_path",
        "_scrub",
        "_secrets",
        "_text_cap",
        "chars",
        "counts",
        "declared",
        "ever_off",
        "excluded",
        "nodes",
        "off",
    )

    def __init__(
        self,
        chars: int,
        nodes: int = MAX_NODES,
        *,
        again: bool = False,
        scrub: bool = False,
        secrets: list[str] | None = None,
        off: frozenset[str] = frozenset(),
    ) -> None:
        """Fill the purse.

        Args:
            chars: Budget of characters; no text takes more than half of it.
            nodes: Budget of values.
            again: The value is what the user's hook made of an earlier walk: markers stay.
            scrub: Replace lone surrogates, which UTF-8 has no bytes for.
            secrets: Collects the texts of what is withheld.
            off: Rules that are off in this process.
        """
        self.chars: int = chars
        self.nodes: int = nodes
        self.off = self.ever_off = self._always_off = off
        self.excluded: frozenset[str] = frozenset()
        self.declared: Mapping[str, str] = {}
        self.counts: list[str] = []
        self._text_cap = chars // 2
        self._again = again
        self._scrub = scrub
        self._secrets = secrets
        self._path: set[int] = set()
        self._heavy = 0

    def turn_off(self, rules: frozenset[str]) -> None:
        """Let *rules* withhold nothing from now on, beside those that are off in the process."""
        self.off = self._always_off | rules
        self.ever_off |= rules

    def exclude(self, categories: frozenset[str]) -> None:
        """Withhold values of *categories*, but for those whose rules are off."""
        if self.off:
            categories = frozenset(
                each for each in categories if f"category:{each}" not in self.off
            )
        self.excluded = categories

    def text(self, value: str) -> object:
        """Return *value*, or a marker with the part of it that the budget allows."""
        size = len(value)
        short = size < SHORTEST and SIGN not in value
        if short and size <= self.chars and value.isascii():
            self.chars -= size
            return value
        room = max(0, min(self.chars, self._text_cap))
        if not short:
            reach = room + MARGIN_CHARS
            rule = key_shaped(value if size <= reach else value[:reach], self.off)
            if rule is not None:
                return self.withhold(rule, value)
        kept = value if size <= room else value[:room]
        # Most texts beyond ASCII take two bytes a character or more.
        self.chars -= len(kept) if kept.isascii() else 2 * len(kept)
        if self._scrub:
            kept = scrubbed(kept)
        return kept if size <= room else markers.cut(size, "chars", kept)

    def withhold(self, rule: str, value: object) -> object:
        """Return the marker that stands for *value*, and count it."""
        if self._again and markers.is_withheld(value):
            return value
        self.counts.append(rule)
        self.chars -= _MARKER_CHARS
        if self._secrets is not None:
            gather(self._secrets, value)
        return markers.withheld(rule)

    def rule_of(self, field: Field, item: object) -> str | None:
        """Return the rule that withholds *item* in *field*, None if it is recorded."""
        if field.rule is not None:
            return field.rule
        if field.name_rule is not None and field.name_rule not in self.off and not is_bare(item):
            return field.name_rule
        if field.generic and field.name in self.declared:
            return self.declared[field.name]
        if self.excluded and field.category in self.excluded:
            return f"category:{field.category}"
        return None

    def rule_inside(self, shape: Shape, inner: object) -> str | None:
        """Return the rule that withholds *inner*, which stands for a value of *shape*."""
        return self.rule_of(shape.fields[0], inner) if shape.fields else None

    def judge(self, key: object, position: int) -> tuple[str, str | None]:
        """Return *key* as it is written, and the rule that withholds what stands under it.

        Args:
            key: Any key of a dict.
            position: Its place among the others, which tells apart keys that have no text.
        """
        name = self._key_text(key, position)
        # What is written of a longer name is its beginning, and its end is judged.
        head = name[: MAX_KEY_CHARS + MARGIN_CHARS]
        short = len(name) < SHORTEST and SIGN not in name
        shaped = None if short else key_shaped(head, self.off)
        if shaped is not None:
            self.counts.append(shaped)
            return f"<{shaped} {position}>", None
        rule = name_rule(_judged(name))
        if len(name) > MAX_KEY_CHARS:
            name = f"{name[:MAX_KEY_CHARS]}..."
        elif name != "remit" and name.lstrip("$") == "remit":
            name = name if self._again else f"${name}"
        elif name is key and len(name) <= MAX_KNOWN_CHARS and scrubbed(name) == name:
            self._remember(name, rule)
        return scrubbed(name) if self._scrub else name, rule

    def _remember(self, name: str, rule: str | None) -> None:
        """Keep the verdict on *name*, unless only this walk lets it pass."""
        if not self.off or key_shaped(name) is None:
            remember(name, rule)

    def _key_text(self, key: object, position: int) -> str:
        if type(key) is str:
            return key
        shape = shape_of(type(key))
        for _ in range(MAX_INNER):
            if shape.kind is Kind.INNER:
                key = shape.plain(key)
                rule = self.rule_inside(shape, key)
                if rule is not None:
                    self.counts.append(rule)
                    return f"<{rule} {position}>"
                shape = shape_of(type(key))
        if shape.kind is Kind.SECRET:
            self.counts.append(SECRET_TYPE)
            return f"<{SECRET_TYPE} {position}>"
        plain = shape.plain(key) if shape.kind is Kind.SCALAR else key
        if type(plain) is str:
            return plain
        if is_bare(plain) or type(plain) is int or type(plain) is float:
            return encode(plain).decode()
        return f"<{shape.name} {position}>"


def _judged(name: str) -> str:
    """Return what of *name* is judged: which digits stand at the end changes no verdict."""
    end = name[-MAX_JUDGED_CHARS:]
    stem = end.rstrip("0123456789")
    # So that `row_1` to `row_999` are judged once.
    return end if stem in {end, ""} else f"{stem}0"


def is_bare(value: object) -> bool:
    """Return whether *value* gives nothing away under the name of a secret."""
    return value is None or value is True or value is False


def scrubbed(text: str) -> str:
    """Return *text* with `?` for each lone surrogate."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
