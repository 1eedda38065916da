"""How long one request may spend on comparisons with schemas and on summaries."""

from __future__ import annotations

from typing import Final

HEAVY_S: Final = 0.04
"""So long may all comparisons together take that are not done at once, and all failed renders."""
RENDERS_S: Final = 0.08
"""So long may all renders together take; one of a few words takes 20 to 400 microseconds."""
COMPILES_S: Final = 0.2
"""So long may compiling schemas take; one takes 0.2 to 5 ms, with large patterns up to 80."""


class Budget:
    """What one request may still do."""

    __slots__ = ("_compiles_left_s", "_given_up", "_left_s", "_renders_left_s")

    def __init__(
        self,
        *,
        heavy_s: float = HEAVY_S,
        renders_s: float = RENDERS_S,
        compiles_s: float = COMPILES_S,
    ) -> None:
        """Allow as much as one request may take.

        Args:
            heavy_s: For slow comparisons and failed renders, in seconds.
            renders_s: For all renders, in seconds.
            compiles_s: For compiling schemas, in seconds.
        """
        self._left_s = heavy_s
        self._renders_left_s = renders_s
        self._compiles_left_s = compiles_s
        self._given_up: set[int] = set()

    @property
    def spent(self) -> bool:
        """Whether there is nothing left."""
        return self._left_s <= 0

    def spend(self, seconds: float) -> None:
        """Take something off."""
        self._left_s -= seconds

    @property
    def may_compile(self) -> bool:
        """Whether another schema may be compiled."""
        return self._compiles_left_s > 0

    def compiled(self, seconds: float) -> None:
        """Take off what compiling a schema took."""
        self._compiles_left_s -= seconds

    def allows(self, template: object) -> bool:
        """Return whether *template* may be rendered."""
        left = not self.spent and self._renders_left_s > 0
        return left and id(template) not in self._given_up

    def rendered(self, seconds: float) -> None:
        """Take off what a render took, whatever came of it."""
        self._renders_left_s -= seconds

    def give_up(self, template: object, seconds: float) -> None:
        """Render *template* no more, on which *seconds* were spent for nothing."""
        self._given_up.add(id(template))
        self.spend(seconds)
