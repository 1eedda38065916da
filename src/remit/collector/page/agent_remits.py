"""What agents and their steps declare: the words of their data risk, owner and purpose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, get_args

import msgspec

from remit.collector.domain import Context
from remit.collector.page.windows import Window
from remit.collector.store.questions import (
    AgentRecord,
    CountCriteria,
    StepCount,
    agents,
    scope_of,
    step_counts,
)
from remit.models.data_risk import Classification, DataCategories

MOST_AGENTS: Final = 1000
"""Most agents of which declarations are read for one page, the newest."""
CATEGORIES: Final = tuple(name for name in DataCategories.model_fields if name != "classification")
CLASSES: Final = get_args(Classification)
ACTIONS: Final = "action_profile"
PARAMS: Final = "params_data_categories"
RESULT: Final = "result_data_categories"
_SIDES: Final = (PARAMS, RESULT)
SENDING: Final = "external_communication"
UNKNOWN: Final = "unknown"
MODEL: Final = "llm"
_OF_REMIT: Final = "remit:"
_WITHOUT_STEPS: Final = frozenset({"agent", "retriever"})
"""Kinds of steps whose own steps are what communicates."""


class _Keywords(msgspec.Struct):
    kind: Any = msgspec.field(name="x-remit-kind", default=None)
    owner: Any = msgspec.field(name="x-remit-owner", default=None)


class Step(msgspec.Struct):
    """A span type as an agent declared it.

    Attributes:
        name: Its name.
        title: Its title.
        description: Its description.
        data_risk: Its data risk.
        keywords: Keywords of remit in the schema of its parameters.
    """

    name: str
    title: str | None = None
    description: str | None = None
    data_risk: dict[str, dict[str, Any] | None] | None = None
    keywords: _Keywords | bool = msgspec.field(name="params_schema", default=False)

    @property
    def short(self) -> str:
        """Its name without its module."""
        return short_name(self.name)

    @property
    def kind(self) -> str | None:
        """What a step of an integration is: `agent`, `llm` or `retriever`."""
        return _text(self.keywords.kind) if isinstance(self.keywords, _Keywords) else None

    @property
    def owner(self) -> str | None:
        """The owner of an agent."""
        return _text(self.keywords.owner) if isinstance(self.keywords, _Keywords) else None

    def word(self, part: str, name: str) -> str:
        """Return what it says about an action or a category."""
        return str(((self.data_risk or {}).get(part) or {}).get(name, UNKNOWN))

    def holds(self, category: str) -> bool:
        """Return whether it takes or gives a category."""
        return "included" in (self.word(PARAMS, category), self.word(RESULT, category))

    def excludes(self, category: str) -> bool:
        """Return whether it rules out a category on both sides."""
        return self.word(PARAMS, category) == self.word(RESULT, category) == "excluded"

    def class_of(self, category: str) -> str:
        """Return how confidential the side is that has a category; the closest of both."""
        sides = [part for part in _SIDES if self.word(part, category) == "included"]
        return closest(self.word(part, "classification") for part in sides)


@dataclass(frozen=True)
class Declared:
    """What an agent declared last.

    Attributes:
        agent: The agent.
        own: Its own span type, which has its remit; None if it cannot be told from the others.
        steps: Its other span types by name.
    """

    agent: AgentRecord
    own: Step | None
    steps: Sequence[Step] = field(default_factory=tuple[Step, ...])

    @cached_property
    def owner(self) -> str | None:
        """Its owner."""
        return None if self.own is None else self.own.owner

    @cached_property
    def place(self) -> str | None:
        """Where its code is: module and name."""
        identifier = self.agent.external_identifier
        return identifier.rpartition("/")[2] if identifier and ":" in identifier else None

    @cached_property
    def senders(self) -> Sequence[Step]:
        """The steps that may communicate outward, or do not rule it out."""
        return [
            step
            for step in self.steps
            if step.kind not in _WITHOUT_STEPS and step.word(ACTIONS, SENDING) != "disallowed"
        ]

    @cached_property
    def categories(self) -> Sequence[str]:
        """The categories that it or one of its steps takes or gives."""
        return [name for name in CATEGORIES if any(each.holds(name) for each in self.all)]

    @cached_property
    def all(self) -> Sequence[Step]:
        """Its own span type, and the others."""
        return [*([] if self.own is None else [self.own]), *self.steps]

    def rules_out(self, category: str) -> bool:
        """Return whether the agent rules out a category, or each of its steps does."""
        if self.own is not None and self.own.excludes(category):
            return True
        return bool(self.steps) and all(step.excludes(category) for step in self.steps)

    def forbids(self, category: str) -> bool:
        """Return whether its remit rules out a category on a side."""
        sides = [] if self.own is None else [self.own.word(part, category) for part in _SIDES]
        return "excluded" in sides

    def class_of(self, category: str) -> str:
        """Return how confidential a category is at most."""
        return closest(each.class_of(category) for each in self.all)


def short_name(name: str) -> str:
    """Return the name of a step without its module: `pay_back`."""
    return name.rpartition(":")[2] or name


def closest(classes: Iterable[str]) -> str:
    """Return the most confidential class; `unknown` if none is known."""
    known = [CLASSES.index(each) for each in classes if each in CLASSES]
    return str(CLASSES[max(known, default=0)])


def declared_by(ctx: Context, agent_id: str | None = None) -> list[Declared]:
    """Return what the agents declared last that the caller sees, or the one of an id."""
    caller = ctx.caller
    scope = scope_of(ctx.tx, caller.account_id, caller.agent_id or agent_id)
    if scope is None:
        return []
    return [declared(agent) for agent in agents(ctx.tx, scope, MOST_AGENTS)]


def counted_steps(
    ctx: Context, *, window: Window, agent_id: str | None = None
) -> dict[tuple[str, str], StepCount]:
    """Return how often each step ran in a time, by agent and step."""
    caller = ctx.caller
    chosen = caller.agent_id or agent_id
    scope = scope_of(ctx.tx, caller.account_id, chosen, caller.environment_id)
    if scope is None:
        return {}
    wanted = CountCriteria(scope=scope, since_us=window.since_us, until_us=window.until_us)
    return {(each.agent_id, each.name): each for each in step_counts(ctx.tx, wanted)}


def declared(agent: AgentRecord) -> Declared:
    """Return what an agent declared last."""
    steps = steps_of(agent.span_types)
    own = own_step(steps, agent.external_identifier, agent.name)
    return Declared(agent, own, [step for step in steps if step is not own])


def steps_of(span_types: str | None) -> list[Step]:
    """Return the span types of a schema version, by name, without those of remit."""
    if span_types is None:
        return []
    steps = msgspec.json.decode(span_types, type=list[Step])
    steps = [step for step in steps if not step.name.startswith(_OF_REMIT)]
    return sorted(steps, key=lambda step: step.name)


def own_step(steps: Sequence[Step], identifier: str | None, name: str) -> Step | None:
    """Return the span type of an agent among those it declared.

    It is called as the identifier ends; else it has an owner; else it has the title that is the
    name of the agent.
    """
    called = (identifier or "").rpartition("/")[2]
    rules = (
        [step for step in steps if step.name == called],
        [step for step in steps if step.owner is not None],
        [step for step in steps if step.title == name],
    )
    return next((chosen[0] for chosen in rules if len(chosen) == 1), None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
