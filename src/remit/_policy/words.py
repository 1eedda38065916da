"""The words of a data risk: its parts, the names in them, and the order of its classifications.

A data risk has three parts. Each has a word for every name in it: for an action `allowed` or
`disallowed`, for a category of data `included` or `excluded`. A name without a word, or with
`unknown`, is undeclared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias, get_args

from msgspec import Struct

from remit.models.data_risk import Action, Category, Classification, DataRisk

ACTION: Final = "action_profile"
PARAMS: Final = "params_data_categories"
RESULT: Final = "result_data_categories"

ACTIONS: Final[tuple[str, ...]] = get_args(Action)
CATEGORIES: Final[tuple[str, ...]] = get_args(Category)
"""The data categories, without the classification next to them."""
CLASSES: Final[tuple[str, ...]] = get_args(Classification)
"""The classifications, from the least to the most sensitive."""

CLASSIFICATION: Final = "classification"
SENDING: Final = "external_communication"
"""The action of a step that sends something to the outside."""
UNKNOWN: Final = "unknown"

MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    ACTION: ACTIONS,
    PARAMS: (*CATEGORIES, CLASSIFICATION),
    RESULT: (*CATEGORIES, CLASSIFICATION),
}
"""By part, the names in it, in the order of the models."""
NAMES: Final = tuple(
    (part, name) for part, names in MEMBERS.items() for name in names if name != CLASSIFICATION
)
"""Each part with each of its actions or categories, in order."""

VIOLATED_BY: Final[Mapping[str, str]] = {"disallowed": "allowed", "excluded": "included"}
"""The words that are limits when an agent declares them, and the words of a step that violate them.
"""
HELD: Final = "held"
"""The limit of a violation that a hold made, in place of the word of an agent."""
LIMITS: Final = frozenset(VIOLATED_BY)
DECLARED: Final = frozenset(VIOLATED_BY.values())
"""The words by which a step says that it takes an action or holds a category."""

Words: TypeAlias = Mapping[str, Mapping[str, Any]]
"""By part of a data risk, the word of each name; a name without a word is undeclared."""

WITHOUT_EFFECT: Final = frozenset({"agent", "llm", "retriever"})
"""Kinds of steps whose undeclared words violate no limit."""

_NOTHING: Final[Words] = {part: {} for part in MEMBERS}


def declared_words(risk: DataRisk | None) -> Words:
    """Return the words of a data risk; without one, none."""
    if risk is None:
        return _NOTHING
    parts = (risk.action_profile, risk.params_data_categories, risk.result_data_categories)
    return {name: vars(part) for name, part in zip(MEMBERS, parts, strict=True)}


def word_of(words: Words, part: str, name: str) -> str:
    """Return the word of a name in a part, `unknown` if it is undeclared."""
    return str(words[part].get(name, UNKNOWN))


def sensitivity(classification: str) -> int:
    """Return the rank of a classification: from 1 for `public`; 0 if it is unknown."""
    return CLASSES.index(classification) if classification in CLASSES else 0


def most_sensitive(classes: Iterable[str]) -> str:
    """Return the most sensitive of some classifications; `unknown` if none is known."""
    return CLASSES[max(map(sensitivity, classes), default=0)]


class DeclaredStep(Struct, frozen=True):
    """Declaration of a step, known before it runs.

    Attributes:
        kind: Its kind, such as `llm`, if an integration declares it.
        is_agent: Whether it is a decorated agent, which communicates by its own steps only.
    """

    name: str
    words: Words
    kind: str = ""
    is_agent: bool = False
