"""Risk from types: what a signature shows of the data that flows through it."""

from remit._inference._checks import check_types
from remit._inference._effective import effective
from remit._inference._plan import plan_of
from remit._inference._shown import Inferred, Side, inferred, places_of

__all__ = [
    "Inferred",
    "Side",
    "check_types",
    "effective",
    "inferred",
    "places_of",
    "plan_of",
]
