"""What a step and its agent declare, side by side, and where they contradict each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from remit._policy.words import ACTION, ACTIONS, CATEGORIES, UNKNOWN
from remit.collector.domain.findings import MAX_SENTENCE_CHARS, MAX_SENTENCES
from remit.collector.page.declared import VERBS, Declared
from remit.collector.page.formats import listed, words

_SENTENCE: Final = re.compile(
    r"(?P<name>\w+)(?: in the (?P<side>params|result))?: (?P<step>.*) says (?P<word>\w+), "
    r"the agent (?P<agent>.*) says (?P<limit>\w+)",
    re.DOTALL,
)
_DOING: Final = {
    "create_data": "creating data",
    "read_data": "reading data",
    "update_data": "updating data",
    "destroy_data": "destroying data",
    "financial_transactions": "moving money",
    "external_communication": "communicating externally",
}
_GLOSSES: Final = {
    "financial_transactions": "whether money moves",
    "external_communication": "whether something is sent",
}
_STEP: Final = {"allowed": "it does this", "disallowed": "never"}
_AGENT: Final = {"allowed": "may", "disallowed": "never"}


class Clash(NamedTuple):
    """A sentence of the policy, in its parts.

    Attributes:
        name: The action or category.
        side: `params` or `result` of a category; None of an action.
        step: The name of the step.
        word: What the step says.
        agent: The external identifier of the agent.
        limit: What the agent says.
    """

    name: str
    side: str | None
    step: str
    word: str
    agent: str
    limit: str


class Word(NamedTuple):
    """An action or a category in both declarations.

    Attributes:
        name: Its name.
        gloss: What it means, where that is not plain.
        step: What the step says; None if nothing.
        agent: What the agent says; None if nothing.
    """

    name: str
    gloss: str
    step: str | None
    agent: str | None


class Sides(NamedTuple):
    """Both declarations.

    Attributes:
        clashes: The words that contradict each other.
        others: The other words that one of them says.
    """

    clashes: Sequence[Word]
    others: Sequence[Word]


def clashes_in(sentences: Sequence[str]) -> list[Clash]:
    """Return the parts of the sentences of a policy, without those that have other parts.

    Only the first sentences are taken apart, without those that are too long: they come from a
    payload, and the time to take one apart grows with the square of its length.
    """
    first = (text for text in sentences[:MAX_SENTENCES] if len(text) <= MAX_SENTENCE_CHARS)
    parsed = map(_SENTENCE.fullmatch, first)
    return [Clash(**match.groupdict()) for match in parsed if match is not None]


def sides_of(step: Declared | None, agent: Declared | None, clashes: Sequence[Clash]) -> Sides:
    """Return both declarations.

    Args:
        step: The step; None if it is not declared.
        agent: The agent that ruled the step out; None if it is not declared.
        clashes: What contradicts; their words replace those of a declaration that is not known.
    """
    by_name = {word.name: word for word in _words(step, agent)}
    contradictions: list[Word] = []
    for name in dict.fromkeys(clash.name for clash in clashes):
        of_name = [clash for clash in clashes if clash.name == name]
        declared = by_name.pop(name, Word(name, "", None, None))
        of_step = _said([(clash.side, clash.word) for clash in of_name], _STEP, "goes ")
        of_agent = _said([(clash.side, clash.limit) for clash in of_name], _AGENT, "")
        contradictions.append(
            declared._replace(step=declared.step or of_step, agent=declared.agent or of_agent)
        )
    return Sides(contradictions, [word for word in by_name.values() if word.step or word.agent])


def summary_of(clash: Clash, *, agent: str) -> str:
    """Return what follows the name of a step in one line: `may move money; Desk never does`."""
    if clash.name in VERBS:
        subject, does = _DOING[clash.name], f"may {VERBS[clash.name]}"
    else:
        subject = words(clash.name)
        does = f"{'gives' if clash.side == 'result' else 'takes'} {subject}"
    says = f"says nothing about {subject}" if clash.word == UNKNOWN else does
    return f"{says}; {agent} never does"


def verdict_of(clashes: Sequence[Clash]) -> str:
    """Return in one or two sentences what contradicts; empty if nothing is known."""
    names = list(dict.fromkeys(clash.name for clash in clashes))
    if not names:
        return ""
    ruled_out = listed([_DOING.get(name, words(name)) for name in names])
    silent = {clash.name for clash in clashes if clash.word == UNKNOWN}
    pronoun = {1: "it", 2: "both"}.get(len(names), "all of it")
    verb = "does" if any(name in _DOING for name in names) else "has"
    if not silent:
        says = f"says that it {verb} {pronoun}"
    elif len(silent) == len(names):
        says = f"says nothing about {pronoun}"
    else:
        says = "says otherwise, or nothing"
    return f"The agent rules out {ruled_out}. The step {says}."


def _words(step: Declared | None, agent: Declared | None) -> Iterable[Word]:
    for name in ACTIONS:
        of_step = None if step is None else _STEP.get(step.word(ACTION, name))
        of_agent = None if agent is None else _AGENT.get(agent.word(ACTION, name))
        yield Word(name, _GLOSSES.get(name, ""), of_step, of_agent)
    for name in CATEGORIES:
        yield Word(name, "", _category(step, name, "goes "), _category(agent, name, ""))


def _category(declared: Declared | None, name: str, verb: str) -> str | None:
    if declared is None:
        return None
    return _said(list(zip(("params", "result"), declared.sides(name), strict=True)), {}, verb)


def _said(
    sides: Sequence[tuple[str | None, str]], actions: dict[str, str], verb: str
) -> str | None:
    """Return what a declaration says of an action, or of a category on its sides."""
    if sides[0][0] is None:
        return actions.get(sides[0][1])
    ways = (
        {"params": "goes in", "result": "comes out"} if verb else {"params": "in", "result": "out"}
    )
    by_side = dict(sides)
    included = [ways[side] for side, word in by_side.items() if side and word == "included"]
    excluded = [ways[side] for side, word in by_side.items() if side and word == "excluded"]
    if included:
        return " and ".join(included)
    if len(excluded) > 1:
        return "never" if verb else "never, in neither"
    return f"never {excluded[0]}" if excluded else None
