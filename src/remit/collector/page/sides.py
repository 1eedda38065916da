"""The declarations of a step and its agent side by side, with the violations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from remit._policy.asks import ASKED
from remit._policy.words import ACTION, ACTIONS, CATEGORIES, HELD, PARAMS, RESULT, UNKNOWN
from remit.collector.domain.declared import Declared
from remit.collector.page.declared import VERBS
from remit.collector.page.formats import listed, words
from remit.errors import AT_MOST, STEPS, Violation

_DOING: Final = {
    "create_data": "creating data",
    "read_data": "reading data",
    "update_data": "updating data",
    "destroy_data": "destroying data",
    "financial_transactions": "moving money",
    "external_communication": "communicating externally",
}
_TO_MODEL: Final = (
    "Policy denied this step and it did not run",
    "A person refused this step and it did not run",
    "This step needs a person's yes and got no yes",
)
"""Beginnings of the text for the model at the end of a denial's message."""
_GLOSSES: Final = {
    "financial_transactions": "whether money moves",
    "external_communication": "whether something is sent",
}
_STEP: Final = {"allowed": "it does this", "disallowed": "never"}
_AGENT: Final = {"allowed": "may", "disallowed": "never", ASKED: "asks"}


class Word(NamedTuple):
    """An action or a category in both declarations.

    Attributes:
        gloss: Its meaning, where that is not plain.
        agent: What the agent declares; None if nothing.
    """

    name: str
    gloss: str
    step: str | None
    agent: str | None


class Sides(NamedTuple):
    """Both declarations."""

    violated: Sequence[Word]
    others: Sequence[Word]


def of_one_agent(violations: Sequence[Violation]) -> list[Violation]:
    """Return the violations that name a word of the first agent that they name."""
    named = [violation for violation in violations if violation.name and violation.limit != HELD]
    return [violation for violation in named if violation.agent == named[0].agent]


def limit_of(violations: Sequence[Violation]) -> Violation | None:
    """Return the first violation that is beyond a number of the agent."""
    return next((violation for violation in violations if violation.limit == AT_MOST), None)


def held_in(violations: Sequence[Violation]) -> list[Violation]:
    """Return the violations that holds made."""
    return [violation for violation in violations if violation.limit == HELD]


def held_actions(violations: Sequence[Violation]) -> str:
    """Return the actions on hold for which a step was denied."""
    names = dict.fromkeys(violation.name for violation in held_in(violations))
    return listed([words(name) for name in names])


def held_reason(violations: Sequence[Violation]) -> str:
    """Return in two sentences what is on hold; empty without a hold."""
    held = held_in(violations)
    if not held:
        return ""
    are = "is" if len({each.name for each in held}) == 1 else "are"
    declares = all(each.word != UNKNOWN for each in held)
    step = "declares that it does this" if declares else "does not declare whether it does this"
    return f"{held_actions(held).capitalize()} {are} on hold. The step {step}."


def to_model(message: str) -> str:
    """Return the part of a denial's message that `DeniedError.for_model` gives to the model."""
    return message[max(0, *map(message.rfind, _TO_MODEL)) :]


def sides_of(
    step: Declared | None, agent: Declared | None, violations: Sequence[Violation]
) -> Sides:
    """Return both declarations.

    Args:
        agent: The agent whose limits the step violates; None if it is not declared.
        violations: Those of this agent; their words replace those of a declaration that is not
            known.
    """
    by_name = {word.name: word for word in _words(step, agent)}
    violated: list[Word] = []
    if limit_of(violations) is not None:
        violations = ()  # both declarations allow the step
    for name in dict.fromkeys(violation.name for violation in violations):
        of_name = [violation for violation in violations if violation.name == name]
        declared = by_name.pop(name)
        of_step = _said([(violation.part, violation.word) for violation in of_name], _STEP, "goes ")
        of_agent = _said([(violation.part, violation.limit) for violation in of_name], _AGENT, "")
        if not any(violation.limit == ASKED for violation in of_name):
            of_agent = declared.agent or of_agent  # what is asked about is declared as allowed
        violated.append(declared._replace(step=declared.step or of_step, agent=of_agent))
    return Sides(violated, [word for word in by_name.values() if word.step or word.agent])


def summary_of(violation: Violation, *, agent: str) -> str:
    """Return a violation after the name of its step: `may move money, but Desk forbids it`."""
    name = violation.name
    if violation.limit == AT_MOST:
        return f"{_beyond(violation)}; {agent} declares at most {violation.number:,}"
    if violation.part == ACTION:
        subject, does, limits = _DOING[name], f"may {VERBS[name]}", "forbids"
    else:
        subject, limits = words(name), "excludes"
        does = f"{'gives' if violation.part == RESULT else 'takes'} {subject}"
    says = f"leaves {subject} undeclared" if violation.word == UNKNOWN else does
    if violation.limit == ASKED:
        return f"{says}, and {agent} asks a person about it"
    return f"{says}, but {agent} {limits} it"


def reason_of(violations: Sequence[Violation]) -> str:
    """Return in two sentences how a step violates the words of its agent; empty without any."""
    limit = limit_of(violations)
    if limit is not None:
        return f"It {_beyond(limit)}. The agent declares at most {limit.number:,}."
    names = list(dict.fromkeys(violation.name for violation in violations))
    if not names:
        return ""
    asked = {violation.name for violation in violations if violation.limit == ASKED}
    asks = [_DOING[name] for name in names if name in asked]
    actions = [_DOING[name] for name in names if name in _DOING and name not in asked]
    data = [words(name) for name in names if name not in _DOING]
    limits = [f"asks a person about {listed(asks)}"] if asks else []
    limits += [f"forbids {listed(actions)}"] if actions else []
    limits += [f"excludes {listed(data)}"] if data else []
    undeclared = {violation.name for violation in violations if violation.word == UNKNOWN}
    pronoun = {1: "this", 2: "both"}.get(len(names), "all of this")
    verb = "does" if not data else "involves" if actions or asks else "handles"
    if not undeclared:
        says = f"declares that it {verb} {pronoun}"
    elif len(undeclared) == len(names):
        says = f"does not declare whether it {verb} this"
    else:
        says = "declares some of this and leaves the rest undeclared"
    return f"The agent {' and '.join(limits)}. The step {says}."


def _beyond(violation: Violation) -> str:
    """Return how a step is beyond a number: `would have been step 2 of this run that may ...`."""
    would = "may" if violation.word == UNKNOWN else "would"
    doing = "" if violation.name == STEPS else f" that may {VERBS[violation.name]}"
    return f"{would} have been step {violation.number + 1:,} of this run{doing}"


def _words(step: Declared | None, agent: Declared | None) -> Iterable[Word]:
    for name in ACTIONS:
        of_step = None if step is None else _STEP.get(step.word(ACTION, name))
        of_agent = None if agent is None else _AGENT.get(agent.remit_word(ACTION, name))
        yield Word(name, _GLOSSES.get(name, ""), of_step, of_agent)
    for name in CATEGORIES:
        yield Word(name, "", _category(step, name, "goes "), _category(agent, name, ""))


def _category(declared: Declared | None, name: str, verb: str) -> str | None:
    if declared is None:
        return None
    return _said(list(zip((PARAMS, RESULT), declared.sides(name), strict=True)), {}, verb)


def _said(parts: Sequence[tuple[str, str]], actions: dict[str, str], verb: str) -> str | None:
    """Return the word of a declaration for an action, or for a category in its parts."""
    if parts[0][0] == ACTION:
        return actions.get(parts[0][1])
    ways = {PARAMS: "goes in", RESULT: "comes out"} if verb else {PARAMS: "in", RESULT: "out"}
    included = [ways[part] for part, word in parts if word == "included"]
    excluded = [ways[part] for part, word in parts if word == "excluded"]
    if included:
        return " and ".join(included)
    if len(excluded) > 1:
        return "never" if verb else "never in or out"
    return f"never {excluded[0]}" if excluded else None
