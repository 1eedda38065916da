"""The data risk in effect: what the author declared, completed by what the types show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from weakref import WeakKeyDictionary

from remit._guard import logger
from remit._inference._shown import Inferred, Side, inferred
from remit._registry import SpanType
from remit._risk import of_words, said
from remit.models.data_risk import DataRisk

_IN_EFFECT: Final[WeakKeyDictionary[SpanType, DataRisk | None]] = WeakKeyDictionary()
"""By declaration, so that a contradiction is said once and types are read once."""


def effective(declared: SpanType) -> DataRisk | None:
    """Return the declared risk with each category included that a type shows.

    Only what the author left unknown is set. Types are read at the first use, when the names in
    annotations exist; one that contradicts the declaration only then is logged, and the
    declaration stays: what it excludes is withheld from payloads.

    Returns:
        None if nothing was declared and no type shows anything.
    """
    if declared not in _IN_EFFECT:
        shown = inferred(declared)
        if against := contradictions(declared.data_risk, shown):
            logger.warning("%s (%s): %s", declared.name, declared.place, told(against))
        _IN_EFFECT[declared] = _completed(declared.data_risk, shown)
    return _IN_EFFECT[declared]


def contradictions(risk: DataRisk | None, shown: Iterable[Inferred]) -> tuple[Inferred, ...]:
    """Return what types show although the declaration excludes it."""
    return tuple(each for each in shown if _word(risk, each) == "excluded")


def told(against: Iterable[Inferred]) -> str:
    """Return contradictions in words, declaration and type beside each other."""
    clauses = (
        f"data_risk excludes {each.category} from the {each.side}, but "
        f"`{each.path}: {each.type}` is of that category"
        for each in against
    )
    return f"{'; '.join(clauses)}. Declare it as included, or leave such data out of the signature"


def _word(risk: DataRisk | None, each: Inferred) -> str:
    """Return what the declaration says of a category on its side."""
    return str(said(risk)[_part(each.side)].get(each.category, "unknown"))


def _part(side: Side) -> str:
    return f"{side}_data_categories"


def _completed(risk: DataRisk | None, shown: Iterable[Inferred]) -> DataRisk | None:
    new = [each for each in shown if _word(risk, each) == "unknown"]
    if not new:
        return risk
    words = {
        _part(side): {each.category: "included" for each in new if each.side is side}
        for side in Side
    }
    if risk is None:
        return of_words(
            {part: {**known, **words.get(part, {})} for part, known in said(risk).items()}
        )
    return risk.model_copy(
        update={part: getattr(risk, part).model_copy(update=words[part]) for part in words}
    )
