"""Risk from types: what a signature shows of the data that flows through it.

A declaration needs `check_types`; the others are imported at their first use.
"""

from typing import TYPE_CHECKING

from remit._inference._checks import check_types
from remit._late import lately

if TYPE_CHECKING:
    from remit._inference._effective import effective
    from remit._inference._plan import plan_of
    from remit._inference._shown import Inferred, Side, inferred, places_of
else:
    __getattr__, __dir__ = lately(
        __name__,
        {
            "Inferred": "remit._inference._shown",
            "Side": "remit._inference._shown",
            "effective": "remit._inference._effective",
            "inferred": "remit._inference._shown",
            "places_of": "remit._inference._shown",
            "plan_of": "remit._inference._plan",
        },
    )

__all__ = [
    "Inferred",
    "Side",
    "check_types",
    "effective",
    "inferred",
    "places_of",
    "plan_of",
]
