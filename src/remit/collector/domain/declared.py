"""Declarations of a schema version: the steps of an agent, with the words of their data risk."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, cast

import msgspec

from remit._policy.asks import ASKED
from remit._policy.leaving import declared_categories
from remit._policy.limits import Limit, limits_in
from remit._policy.maxima import KEYWORD, numbers_in
from remit._policy.words import (
    ACTION,
    ACTIONS,
    CATEGORIES,
    CLASSIFICATION,
    DECLARED,
    LIMITS,
    MEMBERS,
    PARAMS,
    RESULT,
    UNKNOWN,
    WITHOUT_EFFECT,
    DeclaredStep,
    Words,
    most_sensitive,
    word_of,
)
from remit.collector.domain.failures import is_hidden
from remit.collector.validation.declarations import StoredSpanType

NEVER: Final = "never"
"""The word of an action that is forbidden, or of a category that is excluded."""
ALL_WORDS: Final = len(ACTIONS) + len(CATEGORIES)
"""Number of the actions and categories that a declaration can say something about."""
_REMIT_PREFIX: Final = "remit:"


class _Keywords(msgspec.Struct):
    kind: Any = msgspec.field(name="x-remit-kind", default=None)
    owner: Any = msgspec.field(name="x-remit-owner", default=None)
    limits: Any = msgspec.field(name="x-remit-limits", default=None)
    asks: Any = msgspec.field(name="x-remit-asks", default=None)


_read_keywords: Final = msgspec.json.Decoder(_Keywords | bool).decode


class Declared(StoredSpanType, dict=True):
    """A span type as a schema version declares it."""

    @cached_property
    def words(self) -> Words:
        """Its words; a part that is missing or null has none."""
        risk: Mapping[str, Any] = self.data_risk or {}
        return {part: risk.get(part) or {} for part in MEMBERS}

    def word(self, part: str, name: str) -> str:
        """Return its word for an action, or for a category of one side."""
        return word_of(self.words, part, name)

    def sides(self, category: str) -> tuple[str, str]:
        """Return its words for a category in its parameters and in its result."""
        return self.word(PARAMS, category), self.word(RESULT, category)

    def holds(self, category: str) -> bool:
        """Return whether it takes or gives a category."""
        return "included" in self.sides(category)

    def excludes(self, category: str) -> bool:
        """Return whether it excludes a category on both sides."""
        return self.sides(category) == ("excluded", "excluded")

    def in_words(self, category: str) -> str:
        """Return its words for a category: `in, out`, `never`, `never out`; or nothing."""
        sides = dict(zip(("in", "out"), self.sides(category), strict=True))
        included = [side for side, word in sides.items() if word == "included"]
        excluded = [side for side, word in sides.items() if word == "excluded"]
        if included or not excluded:
            return ", ".join(included)
        return NEVER if len(excluded) == len(sides) else f"{NEVER} {excluded[0]}"

    @property
    def allowed(self) -> list[str]:
        """The actions that it may take."""
        return [name for name in ACTIONS if self.word(ACTION, name) == "allowed"]

    @property
    def included(self) -> list[str]:
        """The categories that it takes or gives."""
        return [name for name in CATEGORIES if self.holds(name)]

    def class_of(self, category: str) -> str:
        """Return the class of the side that has a category; the highest of both."""
        sides = (part for part in (PARAMS, RESULT) if self.word(part, category) == "included")
        return most_sensitive(self.word(part, CLASSIFICATION) for part in sides)

    @property
    def short(self) -> str:
        """Its name without its module."""
        return self.name.rpartition(":")[2] or self.name

    @cached_property
    def _keywords(self) -> _Keywords:
        keywords = _read_keywords(self.params_schema)
        return keywords if isinstance(keywords, _Keywords) else _Keywords()

    @property
    def kind(self) -> str:
        """Its kind, if an integration declares that it has no effect; else empty."""
        kind = self._keywords.kind
        return kind if isinstance(kind, str) and kind in WITHOUT_EFFECT else ""

    @property
    def owner(self) -> str | None:
        """The person or team that is responsible for it."""
        owner = self._keywords.owner
        return owner if isinstance(owner, str) and owner.strip() else None

    @cached_property
    def asks(self) -> Sequence[str]:
        """The actions that it asks a person about, if it is an agent."""
        asks = self._keywords.asks
        return [name for name in ACTIONS if name in asks] if isinstance(asks, list) else []

    def remit_word(self, part: str, name: str) -> str:
        """Return the word of an agent: `asked` if it asks about the action."""
        asked = part == ACTION and name in self.asks
        return ASKED if asked else self.word(part, name)

    @property
    def numbers(self) -> Mapping[str, int]:
        """By action, or `steps`: how many steps of one run of it may take the action."""
        return numbers_in({KEYWORD: self._keywords.limits})

    @property
    def classification(self) -> str:
        """The higher class of parameters and result."""
        return most_sensitive(self.sides(CLASSIFICATION))

    @property
    def is_hidden(self) -> bool:
        """Whether values are shown only on request: from *confidential* on, or of article 9."""
        return is_hidden(cast("Mapping[str, Mapping[str, str] | None]", self.data_risk or {}))

    @property
    def takes(self) -> list[str]:
        """The categories in its parameters."""
        return [name for name in CATEGORIES if self.word(PARAMS, name) == "included"]

    @property
    def gives(self) -> list[str]:
        """The categories in its result."""
        return [name for name in CATEGORIES if self.word(RESULT, name) == "included"]

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The actions and categories that it forbids or excludes."""
        return limits_in(self.words)

    @property
    def step(self) -> DeclaredStep:
        """What the policy knows of it."""
        return DeclaredStep(self.name, self.words, self.kind)

    @property
    def undeclared(self) -> int:
        """The number of actions and categories that it does not declare."""
        actions = sum(self.word(ACTION, name) == UNKNOWN for name in ACTIONS)
        return actions + sum({*self.sides(name)} == {UNKNOWN} for name in CATEGORIES)


_read_types: Final = msgspec.json.Decoder(list[Declared]).decode


@dataclass(frozen=True)
class Declaration:
    """The span types of an agent.

    Attributes:
        own: That of the agent itself, which has its remit; None if it is not known which it is.
    """

    own: Declared | None
    steps: Mapping[str, Declared]

    @property
    def owner(self) -> str | None:
        """The person or team responsible for the agent."""
        return None if self.own is None else self.own.owner

    @property
    def description(self) -> str | None:
        """The description of the agent in its code."""
        return None if self.own is None else self.own.description

    @cached_property
    def effective(self) -> Declared:
        """The agent and its steps as one: its remit rules out what a step declares."""
        words = {
            part: {name: self._word(part, name) for name in names}
            for part, names in MEMBERS.items()
        }
        return Declared("", data_risk=words)

    def _word(self, part: str, name: str) -> str:
        own = UNKNOWN if self.own is None else self.own.word(part, name)
        steps = {step.word(part, name) for step in self.steps.values()}
        if own in LIMITS:
            return own
        if name == CLASSIFICATION:
            return most_sensitive([own, *steps])
        if done := DECLARED & {own, *steps}:
            return next(iter(done))
        return UNKNOWN if UNKNOWN in steps else next(iter(steps), UNKNOWN)

    @cached_property
    def all(self) -> Sequence[Declared]:
        """All span types, that of the agent first."""
        return [*([] if self.own is None else [self.own]), *self.steps.values()]

    def named(self, name: str) -> Declared | None:
        """Return the span type of a name; None if it is not declared."""
        return next((step for step in self.all if step.name == name), None)

    @cached_property
    def categories(self) -> Sequence[str]:
        """The categories that the agent or one of its steps takes or gives."""
        return declared_categories(step.words for step in self.all)

    def forbids(self, category: str) -> bool:
        """Return whether the agent's remit excludes a category on a side."""
        return self.own is not None and "excluded" in self.own.sides(category)

    def class_of(self, category: str) -> str:
        """Return how confidential a category is at most."""
        return most_sensitive(step.class_of(category) for step in self.all)


def declaration_of(
    span_types: str | bytes | None, identifier: str | None, name: str | None = None
) -> Declaration:
    """Return the declaration in a schema version.

    Args:
        span_types: The span types as JSON; None without a schema version.
        identifier: External identifier of the agent, which is the name of its span type; in local
            mode a directory comes before it.
        name: Name of the agent, which may be the title of its span type.
    """
    declared = [] if span_types is None else _read_types(span_types)
    steps = {step.name: step for step in declared if not step.name.startswith(_REMIT_PREFIX)}
    own = _own(steps.values(), identifier, name)
    return Declaration(own, {key: steps[key] for key in sorted(steps) if steps[key] is not own})


def is_named(step: Declared, identifier: str | None) -> bool:
    """Return whether an agent with this external identifier has the name of a span type."""
    return f"/{identifier or ''}".endswith(f"/{step.name}")


def _own(steps: Collection[Declared], identifier: str | None, name: str | None) -> Declared | None:
    """Return the span type of an agent: that of its name, else the only owned or titled one."""
    named = [step for step in steps if is_named(step, identifier)]
    if named:
        return max(named, key=lambda step: len(step.name))
    owned = [step for step in steps if step.owner is not None]
    titled = [step for step in steps if step.title is not None and step.title == name]
    return next((alone[0] for alone in (owned, titled) if len(alone) == 1), None)
