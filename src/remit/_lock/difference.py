"""Compares two locks: new permissions of an agent, and lost declarations and redaction.

A lock is the file that `remit lock` writes. The comparison imports no program.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple, NotRequired, TypedDict

from msgspec import Struct

from remit._declare.risk import OTHERS
from remit._policy.asks import ASKED
from remit._policy.leaving import Leaves
from remit._policy.widening import (
    Effect,
    of_agent_word,
    of_first_word,
    of_number,
    of_step_word,
)
from remit._policy.words import (
    ACTIONS,
    CATEGORIES,
    CLASSIFICATION,
    SENDING,
    UNKNOWN,
)

FORMAT: Final = 1
"""The version of the format that this module reads, in the key `remit_lock`."""

Entry = Mapping[str, Any]
"""An agent or a step of a lock."""


class RiskWords(TypedDict, total=False):
    """A data risk as a lock has it: the arguments of `remit.risk`, and the rest."""

    allows: list[str]
    forbids: list[str]
    asks: list[str]
    takes: list[str]
    gives: list[str]
    excludes: list[str]
    excludes_params: list[str]
    excludes_result: list[str]
    classification: str
    classification_params: str
    classification_result: str
    extra: dict[str, Any]


class AgentSteps(TypedDict, total=False):
    """The steps of an agent: those it may take, those asked about, undeclared, and denied ones."""

    allowed: list[str]
    asked: dict[str, list[str]]
    undeclared: dict[str, list[str]]
    denied: dict[str, list[str]]


class AgentEntry(TypedDict, total=False):
    """An agent of a lock."""

    risk: RiskWords
    limits: dict[str, int]
    registers: str
    steps: AgentSteps
    leaves: dict[str, dict[str, str]]


class StepEntry(TypedDict, total=False):
    """A step of a lock."""

    description: str | None
    risk: RiskWords
    params: dict[str, str]
    result: dict[str, str]


class Lock(TypedDict):
    """The content of a lock."""

    remit_lock: int
    made_with: NotRequired[dict[str, str]]
    modules: NotRequired[list[str]]
    project: NotRequired[str]
    agents: dict[str, AgentEntry]
    steps: dict[str, StepEntry]


class Kind(StrEnum):
    """The kind of a change's subject."""

    AGENT = "agent"
    STEP = "step"
    LOCK = "lock"


class What(StrEnum):
    """The part of its subject that a change is in."""

    PRESENCE = "presence"
    ACTION = "action"
    PARAMS = "params"
    RESULT = "result"
    RISK = "risk"
    LIMIT = "limit"
    MAY_TAKE = "may take"
    LEAVES = "leaves"
    REGISTERS = "registers"
    DESCRIPTION = "description"
    PARAMS_PLACE = "params place"
    RESULT_PLACE = "result place"
    OTHER = "other"


class Change(Struct, frozen=True, omit_defaults=True):
    """One difference between two locks.

    Attributes:
        kind: Whether the subject is an agent or a step, or `lock` for anything else.
        name: The action, category, step or place within that part.
        by: For `leaves`, the step by which the category may leave.
        old: The value in the old lock; None without one.
        new: The value in the new lock; None without one.
        cause: For `may take` and `leaves`, the agents and steps whose own changes are the cause.
    """

    effect: Effect
    kind: Kind
    subject: str
    what: What
    name: str = ""
    by: str = ""
    old: Any = None
    new: Any = None
    cause: tuple[str, ...] = ()


Causes = dict[str, set[tuple[What, str]]]
"""By agent or step, its own changes that have consequences: words, and that it is new or gone."""

WORDS: Final = frozenset({What.ACTION, What.PARAMS, What.RESULT})
PLACES: Final = frozenset({What.PARAMS_PLACE, What.RESULT_PLACE})
_HOW: Final = (None, Leaves.NOT_RULED_OUT, Leaves.DECLARED)
"""Ways in which a category leaves by a step, in ascending order; None for not at all."""
_STATES: Final = ("denied", "undeclared", "asked", "allowed")
_ABSENT: Final = object()
_SENDING: Final = (What.ACTION, SENDING)
REDACTED: Final = 2
"""The highest degree to which a place is redacted."""
_REDACTION: Final = re.compile(r", (?=redacted|off: )")


def changes(old: Lock, new: Lock) -> list[Change]:
    """Return all differences between two locks, agents first; empty if there is none.

    Differences of `made_with`, `modules` and `project` are left out: they say how a lock was made.
    """
    own = [
        *_presence(old, new),
        *_of_agents(old, new),
        *_of_steps(old, new),
        *_other_changes(old, new),
    ]
    agents = sorted(old["agents"].keys() & new["agents"].keys())
    consequences = [
        change
        for agent in agents
        for change in _consequences(agent, old["agents"][agent], new["agents"][agent], own)
    ]
    kinds, parts = list(Kind), list(What)
    return sorted(
        [*own, *consequences],
        key=lambda change: (
            kinds.index(change.kind),
            change.subject,
            parts.index(change.what),
            change.name,
            change.by,
        ),
    )


def _presence(old: Lock, new: Lock) -> Iterator[Change]:
    """Yield the new and gone agents and steps; an agent is not listed again as a step."""
    agents = old["agents"].keys() ^ new["agents"].keys()
    steps = (old["steps"].keys() ^ new["steps"].keys()) - agents
    for kind, ids, before, after in (
        (Kind.AGENT, agents, old["agents"], new["agents"]),
        (Kind.STEP, steps, old["steps"], new["steps"]),
    ):
        for subject in ids:
            effect = Effect.WIDENS if subject in after else Effect.NARROWS
            entries = before.get(subject), after.get(subject)
            yield Change(effect, kind, subject, What.PRESENCE, old=entries[0], new=entries[1])


def _of_agents(old: Lock, new: Lock) -> Iterator[Change]:
    inner = {
        step for lock in (old, new) for entry in lock["agents"].values() for step in states(entry)
    }
    for agent in old["agents"].keys() & new["agents"].keys():
        before, after = old["agents"][agent], new["agents"][agent]
        for key in _differing(before, after):
            if key == "risk":
                judge = of_step_word if agent in inner else of_agent_word
                yield from _of_risk(Kind.AGENT, agent, before, after, judge)
            elif key == "limits":
                yield from _of_limits(agent, before, after)
            elif key not in {"steps", "leaves", "registers"}:
                yield _reported(Kind.AGENT, agent, What.OTHER, key, before, after)


def _of_limits(agent: str, old: AgentEntry, new: AgentEntry) -> Iterator[Change]:
    """Yield the limits that an agent raised, lowered, added or dropped."""
    before, after = old.get("limits", {}), new.get("limits", {})
    for name in {**before, **after}:
        number, new_number = before.get(name), after.get(name)
        if number != new_number:
            effect = of_number(number, new_number)
            yield Change(effect, Kind.AGENT, agent, What.LIMIT, name, old=number, new=new_number)


def _of_steps(old: Lock, new: Lock) -> Iterator[Change]:
    for step in old["steps"].keys() & new["steps"].keys():
        before: Entry = old["steps"][step]
        after: Entry = new["steps"][step]
        is_agent = step in old["agents"] and step in new["agents"]
        kind = Kind.AGENT if is_agent else Kind.STEP
        for key in _differing(before, after):
            if key == "risk":
                if not all(_is_agent_with_its_risk(step, lock) for lock in (old, new)):
                    judge = of_step_word if words(before.get("risk")) else of_first_word
                    yield from _of_risk(Kind.STEP, step, before, after, judge)
            elif key == "description":
                yield _reported(kind, step, What.DESCRIPTION, key, before, after)
            elif key in {"params", "result"} and before.get(key, {}) != after.get(key, {}):
                what = What.PARAMS_PLACE if key == "params" else What.RESULT_PLACE
                sides = before.get(key, {}), after.get(key, {})
                found = list(_of_places(kind, step, what, *sides))
                yield from found or [_reported(kind, step, What.OTHER, key, before, after)]
            else:
                yield _reported(kind, step, What.OTHER, key, before, after)


def _other_changes(old: Lock, new: Lock) -> Iterator[Change]:
    """Yield other changes than those of agents and steps."""
    for key in _differing(old, new):
        if key not in {"made_with", "modules", "project", "agents", "steps"}:
            yield _reported(Kind.LOCK, "", What.OTHER, key, old, new)


def _differing(old: Entry, new: Entry) -> list[str]:
    keys = sorted(old.keys() | new.keys())
    return [key for key in keys if old.get(key, _ABSENT) != new.get(key, _ABSENT)]


def _reported(kind: Kind, subject: str, what: What, key: str, old: Entry, new: Entry) -> Change:
    name = key if what is What.OTHER else ""
    values = old.get(key), new.get(key)
    return Change(Effect.CHANGES, kind, subject, what, name, old=values[0], new=values[1])


def _is_agent_with_its_risk(step: str, lock: Lock) -> bool:
    """Return whether the risk of a step is that of the agent with its id, and reported there."""
    agent = lock["agents"].get(step)
    return agent is not None and agent.get("risk") == lock["steps"][step].get("risk")


def words(risk: RiskWords | None) -> dict[tuple[What, str], str]:
    """Return the word of each action, category and class that a risk says, `others` expanded."""
    risk = risk or {}
    neither, classification = risk.get("excludes", []), risk.get("classification")
    excludes = [*neither, *risk.get("excludes_params", [])]
    excludes_result = [*neither, *risk.get("excludes_result", [])]
    classes = {
        What.PARAMS: risk.get("classification_params", classification),
        What.RESULT: risk.get("classification_result", classification),
    }
    return (
        _limits(What.ACTION, ASKED, risk.get("asks", []), ACTIONS)
        | _limits(What.ACTION, "disallowed", risk.get("forbids", []), ACTIONS)
        | _limits(What.PARAMS, "excluded", excludes, CATEGORIES)
        | _limits(What.RESULT, "excluded", excludes_result, CATEGORIES)
        | {(What.ACTION, name): ASKED for name in risk.get("asks", []) if name != OTHERS}
        | {(What.ACTION, name): "allowed" for name in risk.get("allows", [])}
        | {(What.PARAMS, name): "included" for name in risk.get("takes", [])}
        | {(What.RESULT, name): "included" for name in risk.get("gives", [])}
        | {(what, CLASSIFICATION): word for what, word in classes.items() if word is not None}
    )


def _limits(
    what: What, word: str, names: list[str], known: tuple[str, ...]
) -> dict[tuple[What, str], str]:
    written = [*(known if OTHERS in names else ()), *(name for name in names if name != OTHERS)]
    return {(what, name): word for name in written}


def _of_risk(
    kind: Kind, subject: str, old: Entry, new: Entry, judge: Callable[[str, str, str], Effect]
) -> Iterator[Change]:
    """Yield the words that moved; without one, that the risk is declared in another way."""
    before, after = words(old.get("risk")), words(new.get("risk"))
    moved = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    for what, name in moved:
        word, new_word = before.get((what, name), UNKNOWN), after.get((what, name), UNKNOWN)
        effect = judge(name, word, new_word)
        yield Change(effect, kind, subject, what, name, old=word, new=new_word)
    extra, new_extra = ((entry.get("risk", {})).get("extra") for entry in (old, new))
    if not moved or extra != new_extra:
        yield _reported(kind, subject, What.RISK, "risk", old, new)


def _of_places(
    kind: Kind, step: str, what: What, old: Mapping[str, str], new: Mapping[str, str]
) -> Iterator[Change]:
    """Yield the places of one side that changed; one that became optional is the same place."""
    before, after = ({place.removesuffix("?"): place for place in side} for side in (old, new))
    gone = [redaction(old[before[name]]).redacted for name in before.keys() - after.keys()]
    added = [redaction(new[after[name]]).redacted for name in after.keys() - before.keys()]
    for name in sorted(before.keys() | after.keys()):
        place, new_place = before.get(name), after.get(name)
        text = None if place is None else old[place]
        new_text = None if new_place is None else new[new_place]
        if (place, text) == (new_place, new_text):
            continue
        was, now = redaction(text or ""), redaction(new_text or "")
        # Any place that is new may have taken the part of one that is gone.
        ranks = gone if place is None else [was.redacted]
        new_ranks = added if new_place is None else [now.redacted]
        effect = Effect.CHANGES
        if now.off - was.off or any(rank < was.redacted for rank in new_ranks):
            effect = Effect.WEAKENS
        elif was.off - now.off or any(rank < now.redacted for rank in ranks):
            effect = Effect.NARROWS
        if place and new_place and place != new_place:
            text, new_text = f"{place}: {text}", f"{new_place}: {new_text}"
        yield Change(effect, kind, step, what, name, old=text, new=new_text)


class Redaction(NamedTuple):
    """The text of a place in parts.

    Attributes:
        text: The rest of it, "" if nothing is redacted and no rule is off.
        redacted: `REDACTED` if the value is, 1 if only some of what it may be is, else 0.
    """

    type: str
    text: str
    redacted: int
    off: frozenset[str]


def redaction(text: str) -> Redaction:
    """Return the parts of the text of a place."""
    name, text = (*_REDACTION.split(text, maxsplit=1), "")[:2]
    redacted, _, off = text.partition("off: ")
    rank = 1 if "redacted in part" in redacted else REDACTED if redacted else 0
    return Redaction(name, text, rank, frozenset(re.findall(r"[^,\s]+", off)))


def states(agent: AgentEntry) -> dict[str, dict[str, list[str]]]:
    """Return for each step of an agent its state and the words that are the reason."""
    steps = agent.get("steps", {})
    return (
        {step: {"denied": names} for step, names in steps.get("denied", {}).items()}
        | {step: {"undeclared": names} for step, names in steps.get("undeclared", {}).items()}
        | {step: {"asked": names} for step, names in steps.get("asked", {}).items()}
        | {step: {"allowed": []} for step in steps.get("allowed", [])}
    )


def _consequences(
    agent: str, old: AgentEntry, new: AgentEntry, own: Iterable[Change]
) -> Iterator[Change]:
    """Yield the consequences of changed words: steps the agent may take, and ways out for data."""
    causes: Causes = {}
    for change in own:
        if change.what in {*WORDS, What.PRESENCE}:
            causes.setdefault(change.subject, set()).add((change.what, change.name))
    consequences = [*_taking(agent, old, new, causes), *_leaving(agent, old, new, causes)]
    yield from consequences
    reported = {change.what for change in consequences}
    differing = _differing(old, new)
    for key, what in (("steps", What.MAY_TAKE), ("leaves", What.LEAVES)):
        if key in differing and what not in reported:
            yield _reported(Kind.AGENT, agent, What.OTHER, key, old, new)
    # The schema version changes with each word and place; alone it says that the rest changed.
    types = {agent, *states(old), *states(new)}
    if "registers" in differing and not any(change.subject in types for change in own):
        yield _reported(Kind.AGENT, agent, What.REGISTERS, "registers", old, new)


def _taking(agent: str, old: AgentEntry, new: AgentEntry, causes: Causes) -> Iterator[Change]:
    """Yield the steps of an agent whose state or its reasons changed."""
    before, after = states(old), states(new)
    for step in sorted(before.keys() | after.keys()):
        state, new_state = before.get(step, {}), after.get(step, {})
        if state == new_state:
            continue
        rank, new_rank = _rank(state), _rank(new_state)
        effect = Effect.WIDENS if new_rank > rank else Effect.NARROWS
        reasons = (*state.values(), *new_state.values())
        # `minors_data in the params` is a word of `minors_data`.
        names = {word.partition(" ")[0] for words_of in reasons for word in words_of} | {""}
        yield Change(
            Effect.CHANGES if rank == new_rank else effect,
            Kind.AGENT,
            agent,
            What.MAY_TAKE,
            step,
            old=state or None,
            new=new_state or None,
            cause=tuple(
                subject
                for subject in (agent, step)
                if any(name in names for _, name in causes.get(subject, ()))
            ),
        )


def _leaving(agent: str, old: AgentEntry, new: AgentEntry, causes: Causes) -> Iterator[Change]:
    """Yield the steps by which a category may leave, or no longer."""
    before, after = states(old), states(new)
    denied, denied_now = (
        {step for step in causes if _rank(listed.get(step, {})) == 0} for listed in (before, after)
    )
    leaves, leaves_now = (
        {
            (name, step): how
            for name, by_step in entry.get("leaves", {}).items()
            for step, how in by_step.items()
        }
        for entry in (old, new)
    )
    for name, by in leaves.keys() | leaves_now.keys():
        how, how_now = leaves.get((name, by)), leaves_now.get((name, by))
        if how == how_now:
            continue
        # Nothing comes in or leaves by a denied step.
        held = {(What.PARAMS, name), (What.RESULT, name)}
        sends = by in denied ^ denied_now or {_SENDING, *held} & causes.get(by, set())
        direct = [subject for subject, is_one in ((agent, agent in causes), (by, sends)) if is_one]
        sources = [
            step
            for step in sorted(causes.keys() & {*before, *after})
            if step in denied ^ denied_now or held & causes[step]
        ]
        yield Change(
            Effect.WIDENS if _HOW.index(how_now) > _HOW.index(how) else Effect.NARROWS,
            Kind.AGENT,
            agent,
            What.LEAVES,
            name,
            by,
            old=how,
            new=how_now,
            cause=tuple(direct or sources),
        )


def _rank(state: Mapping[str, object]) -> int:
    """Return how much an agent may do with a step; one that it lacks is like a denied one."""
    return _STATES.index(next(iter(state), "denied"))
