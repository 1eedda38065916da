"""What a step and its agent declare, side by side, and where they contradict each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from remit.collector.domain.findings import MAX_SENTENCE_CHARS, MAX_SENTENCES
from remit.collector.page.agent_remits import ACTIONS, CATEGORIES, PARAMS, RESULT, Step
from remit.collector.page.formats import words
from remit.models.data_risk import ActionProfile

_SENTENCE: Final = re.compile(
    r"(?P<name>\w+)(?: in the (?P<side>params|result))?: (?P<step>.*) says (?P<word>\w+), "
    r"the agent (?P<agent>.*) says (?P<limit>\w+)",
    re.DOTALL,
)
_DOES: Final = {
    "create_data": "create data",
    "read_data": "read data",
    "update_data": "change data",
    "destroy_data": "destroy data",
    "financial_transactions": "move money",
    "external_communication": "communicate outward",
}
_DOING: Final = {
    "create_data": "creating data",
    "read_data": "reading data",
    "update_data": "changing data",
    "destroy_data": "destroying data",
    "financial_transactions": "moving money",
    "external_communication": "communicating outward",
}
_GLOSSES: Final = {
    "financial_transactions": "whether money moves",
    "external_communication": "whether something is sent outward",
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


def read_of(sentences: Sequence[str]) -> list[str]:
    """Return the sentences that are taken apart: the first ones, without those that are too long.

    They come from a payload, and the time to take one apart grows with the square of its length.
    """
    first = sentences[:MAX_SENTENCES]
    return [sentence for sentence in first if len(sentence) <= MAX_SENTENCE_CHARS]


def clashes_in(sentences: Sequence[str]) -> list[Clash]:
    """Return the parts of the sentences of a policy, without those that have other parts."""
    parsed = (_SENTENCE.fullmatch(sentence) for sentence in read_of(sentences))
    return [Clash(**match.groupdict()) for match in parsed if match is not None]


def sides_of(step: Step | None, agent: Step | None, clashes: Sequence[Clash]) -> Sides:
    """Return both declarations, with the words of *clashes* where a declaration is not known."""
    clashing = {clash.name for clash in clashes}
    found = [word for word in _words(step, agent) if word.step or word.agent]
    by_name = {word.name: word for word in found}
    contradictions: list[Word] = []
    for name in dict.fromkeys(clash.name for clash in clashes):
        of_name = [clash for clash in clashes if clash.name == name]
        known = by_name.get(name, Word(name, _GLOSSES.get(name, ""), None, None))
        said = known.step or _said([(clash.side, clash.word) for clash in of_name], _STEP, "goes ")
        limit = known.agent or _said([(clash.side, clash.limit) for clash in of_name], _AGENT, "")
        contradictions.append(known._replace(step=said, agent=limit))
    return Sides(contradictions, [word for word in found if word.name not in clashing])


def summary_of(clash: Clash, *, agent: str) -> str:
    """Return what follows the name of a step in one line: `may move money; Desk never does`."""
    if clash.name in _DOES:
        done, doing = _DOES[clash.name], _DOING[clash.name]
        says = f"says nothing about {doing}" if clash.word == "unknown" else f"may {done}"
        return f"{says}; {agent} never does"
    verb = "gives" if clash.side == "result" else "takes"
    named = words(clash.name)
    says = f"says nothing about {named}" if clash.word == "unknown" else f"{verb} {named}"
    return f"{says}; {agent} never does"


def verdict_of(clashes: Sequence[Clash]) -> str:
    """Return in one or two sentences what contradicts; empty if nothing is known."""
    names = list(dict.fromkeys(clash.name for clash in clashes))
    if not names:
        return ""
    ruled_out = _listed([_DOING.get(name, words(name)) for name in names])
    silent = {clash.name for clash in clashes if clash.word == "unknown"}
    what = {1: "it", 2: "both"}.get(len(names), "all of it")
    verb = "does" if any(name in _DOING for name in names) else "has"
    if not silent:
        said = f"The step says that it {verb} {what}."
    elif len(silent) == len(names):
        said = f"The step says nothing about {what}."
    else:
        said = "The step says otherwise, or nothing."
    return f"The agent rules out {ruled_out}. {said}"


def _words(step: Step | None, agent: Step | None) -> Iterable[Word]:
    for name in ActionProfile.model_fields:
        said = None if step is None else _STEP.get(step.word(ACTIONS, name))
        limit = None if agent is None else _AGENT.get(agent.word(ACTIONS, name))
        yield Word(name, _GLOSSES.get(name, ""), said, limit)
    for name in CATEGORIES:
        yield Word(name, "", _category(step, name, "goes "), _category(agent, name, ""))


def _category(step: Step | None, name: str, verb: str) -> str | None:
    if step is None:
        return None
    sides = [("params", step.word(PARAMS, name)), ("result", step.word(RESULT, name))]
    return _said(sides, {}, verb)


def _said(
    sides: Sequence[tuple[str | None, str]], actions: dict[str, str], verb: str
) -> str | None:
    """Return what a declaration says of an action, or of a category on its sides."""
    if sides[0][0] is None:
        return actions.get(sides[0][1])
    said = dict(sides)
    ways = (
        {"params": "goes in", "result": "comes out"} if verb else {"params": "in", "result": "out"}
    )
    included = [ways[side] for side, word in said.items() if side and word == "included"]
    excluded = [side for side, word in said.items() if side and word == "excluded"]
    if included:
        return " and ".join(included)
    if len(excluded) > 1:
        return "never" if verb else "never, in neither"
    return f"never {ways[excluded[0]]}" if excluded else None


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
