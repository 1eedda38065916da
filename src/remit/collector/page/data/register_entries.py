"""The entries of the register: declarations of an agent, observations, and gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from remit._policy.leaving import CALLS_A_SERVICE, sends
from remit._policy.words import ACTION, CATEGORIES, SENDING, most_sensitive
from remit.collector.domain.declared import ALL_WORDS, Declared
from remit.collector.page.declared import AgentRemit
from remit.collector.page.formats import words
from remit.collector.store.questions.count_lists import StepCount

OWNER: Final = "owner"
PURPOSE: Final = "purpose"
OF_DATA: Final = "categories"
RECIPIENTS: Final = "recipients"
GAPS: Final = {
    OWNER: "an owner",
    OF_DATA: "undeclared categories",
    PURPOSE: "a purpose",
    RECIPIENTS: "recipients",
}
"""What can be missing, in words."""
THE_ACCOUNT: Final = "the account"


@dataclass(frozen=True)
class Entry:
    """An agent in the register.

    Attributes:
        counts: How often its steps ran in the time, by name.
    """

    declared: AgentRemit
    runs: int
    counts: Mapping[str, StepCount] = field(default_factory=dict[str, StepCount])

    @property
    def id(self) -> str:
        """Its id."""
        return self.declared.agent.id

    @property
    def name(self) -> str:
        """Its name."""
        return self.declared.agent.name

    @cached_property
    def purpose(self) -> str | None:
        """What it is for."""
        return self.declared.agent.description or self.declared.description

    @property
    def is_undeclared(self) -> bool:
        """Whether neither the agent nor a step of it declares anything about data or actions."""
        return all(step.undeclared == ALL_WORDS for step in self.declared.all)

    @property
    def owner(self) -> str | None:
        """Who owns it."""
        return self.declared.owner

    @property
    def ask(self) -> str:
        """Whom to ask: its owner, else the place of its code, else the account."""
        return self.owner or self._place or THE_ACCOUNT

    @property
    def asks_author(self) -> bool:
        """Whether `ask` is the place of its code instead of a person or team."""
        return self.ask == self._place

    @property
    def classification(self) -> str:
        """How confidential its data are at most."""
        return most_sensitive(map(self.declared.class_of, self.processed))

    @cached_property
    def included(self) -> Sequence[str]:
        """The declared categories that the agent does not exclude."""
        return self.declared.effective.included

    @property
    def processed(self) -> Sequence[str]:
        """The included and the violated categories."""
        return [*self.included, *(name for name, _ in self.violated)]

    @cached_property
    def excluded(self) -> Sequence[str]:
        """The categories that are excluded, and that no step handled nevertheless."""
        known = self.processed
        return [
            name
            for name in CATEGORIES
            if name not in known and self.declared.effective.excludes(name)
        ]

    @cached_property
    def violated(self) -> Sequence[tuple[str, int]]:
        """The categories that it excludes and that its steps hold, with how many of those ran."""
        own = self.declared.own
        if own is None:
            return []
        ran = (
            (
                name,
                sum(self._ran(step) for step in self.declared.steps.values() if step.holds(name)),
            )
            for name in CATEGORIES
            if own.excludes(name)
        )
        return [(name, spans) for name, spans in ran if spans]

    @cached_property
    def undeclared(self) -> Sequence[str]:
        """The categories that are neither declared nor excluded."""
        known = {*self.processed, *self.excluded}
        return [name for name in CATEGORIES if name not in known]

    @cached_property
    def recipients(self) -> Sequence[str]:
        """The steps that communicate outward, as declared, and that ran."""
        return [step.short for step in self._senders if self._ran(step)]

    @cached_property
    def idle(self) -> Sequence[str]:
        """Those that did not run in the time; none if the agent forbids communication."""
        idle = [step.short for step in self._senders if not self._ran(step)]
        return [] if self._forbids_sending else idle

    @cached_property
    def observed(self) -> Sequence[tuple[str, int]]:
        """The model calls and retrievers that ran and declare nothing about communication."""
        return [
            (step.short, self._ran(step))
            for step in self._undeclared_senders
            if step.kind in CALLS_A_SERVICE and self._ran(step)
        ]

    @cached_property
    def undeclared_steps(self) -> Sequence[str]:
        """The other steps that declare nothing about external communication."""
        return [step.short for step in self._undeclared_senders if step.kind not in CALLS_A_SERVICE]

    @property
    def sends_nothing(self) -> bool:
        """Whether it or each of its steps forbids external communication, and none did it."""
        ruled_out = self._forbids_sending or (self.declared.steps and not self._sending)
        return bool(ruled_out) and not self.recipients and not self.observed

    @cached_property
    def gaps(self) -> Sequence[str]:
        """What only a person can say: keys of `GAPS`."""
        missing = {
            OWNER: self.owner is None,
            PURPOSE: self.purpose is None,
            OF_DATA: bool(self.undeclared),
            RECIPIENTS: not (self.sends_nothing or self._senders or self.observed),
        }
        return [name for name, is_missing in missing.items() if is_missing]

    @cached_property
    def questions(self) -> Sequence[str]:
        """The gaps in words, and the violations."""
        count = len(self.undeclared)
        whole = "all " if count == len(CATEGORIES) else ""
        of_data = f"{whole}{count} {'category' if count == 1 else 'categories'}"
        named = {OF_DATA: of_data}
        texts = [named.get(gap, gap) for gap in self.gaps]
        met: dict[str, list[str]] = {}
        for name, _ in self.violated:
            steps = [step.short for step in self.declared.steps.values() if step.holds(name)]
            met.setdefault(" and ".join(steps), []).append(words(name))
        texts += [
            f"why {steps} handled {' and '.join(names)}, which the agent excludes"
            for steps, names in met.items()
        ]
        return texts

    @property
    def _place(self) -> str | None:
        """Where its code is: module and name."""
        identifier = self.declared.agent.external_identifier
        return identifier.rpartition("/")[2] if identifier and ":" in identifier else None

    @property
    def _forbids_sending(self) -> bool:
        return self.declared.effective.word(ACTION, SENDING) == "disallowed"

    @cached_property
    def _sending(self) -> Sequence[Declared]:
        return [step for step in self.declared.steps.values() if sends(step.step) is not None]

    @cached_property
    def _senders(self) -> Sequence[Declared]:
        return [step for step in self._sending if step.word(ACTION, SENDING) == "allowed"]

    @cached_property
    def _undeclared_senders(self) -> Sequence[Declared]:
        return [step for step in self._sending if step not in self._senders]

    def _ran(self, step: Declared) -> int:
        count = self.counts.get(step.name)
        return 0 if count is None else count.spans - count.denied


def entries_of(
    remits: Sequence[AgentRemit],
    runs: Mapping[str, int],
    counts: Mapping[tuple[str, str], StepCount],
) -> list[Entry]:
    """Return the agents that ran, most runs first."""
    by_agent: dict[str, dict[str, StepCount]] = {}
    for (agent_id, name), count in counts.items():
        by_agent.setdefault(agent_id, {})[name] = count
    entries = [
        Entry(remit, runs[remit.agent.id], by_agent.get(remit.agent.id, {}))
        for remit in remits
        if remit.agent.id in runs
    ]
    return sorted(entries, key=lambda entry: (-entry.runs, entry.name))
