"""What an author asks of redaction with `capture=`: what to record, and which rules not to ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct, field

from remit._overrides import Wish as Wish

Capture: TypeAlias = bool | Mapping[str, Wish]
"""`capture=` of a decorator: keys are parameters, `return`, and names of rules."""


class Wishes(Struct, frozen=True):
    """A declaration's `capture=`, sorted.

    Attributes:
        keep: By parameter and `return`: True records what the declaration withholds, False never
            records.
        off: Rules that are off for the whole span type.
        off_for: Rules that are off for one parameter, or for `return`.
    """

    keep: Mapping[str, bool] = field(default_factory=dict[str, bool])
    off: frozenset[str] = frozenset()
    off_for: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    @classmethod
    def of(cls, capture: Mapping[str, Wish]) -> Wishes:
        """Return the wishes in *capture*, which was checked when it was declared."""
        plain = {key: wish for key, wish in capture.items() if isinstance(wish, bool)}
        return cls(
            # The colon tells a rule from a parameter.
            keep={key: wish for key, wish in plain.items() if ":" not in key},
            off=frozenset(key for key in plain if ":" in key),
            off_for={
                key: frozenset(wish) for key, wish in capture.items() if not isinstance(wish, bool)
            },
        )

    def off_at(self, key: str) -> frozenset[str]:
        """Return the rules that are off for the parameter *key*, or for `return`."""
        return self.off | self.off_for.get(key, frozenset())
