"""Draws the difference of two locks for people: equal changes of several steps are one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from remit._declare.risk import ACTIONS
from remit._inspect.marks import CATEGORIES
from remit.cli._lock_diff import WORDS, Change, Kind, Lock, Verdict, What, states
from remit.cli._terminal import cut, number_of

MOST_LEFT_OUT: Final = 3
"""A list of names that lacks at most so many of all is written as `all 12 steps but ...`."""
MAX_DESCRIPTION_COLUMNS: Final = 60
_PARTS: Final = {
    What.ACTION: "",
    What.PARAMS: " in the params",
    What.RESULT: " in the result",
    What.PARAMS_PLACE: " in the params",
    What.RESULT_PLACE: " in the result",
}


class Line(NamedTuple):
    """One line of a report.

    Attributes:
        verdict: What it means.
        what: Decides its place among the lines of its group.
        text: The rest of it.
    """

    verdict: Verdict
    what: What
    text: str


class Group(NamedTuple):
    """The lines of the same agents or steps.

    Attributes:
        heading: Names them.
        lines: What changed, of all of them.
    """

    heading: str
    lines: list[Line]


class Names:
    """Short names of agents and steps: without their module, where that names one of them."""

    def __init__(self, old: Lock, new: Lock) -> None:
        """Collect the names of both locks."""
        ids = {
            subject
            for lock in (old, new)
            for subject in (
                *lock["agents"],
                *lock["steps"],
                *(step for agent in lock["agents"].values() for step in states(agent)),
            )
        }
        short = [_without_module(each) for each in ids]
        self._short = {
            each: name if short.count(name) == 1 else each
            for each, name in zip(ids, short, strict=True)
        }
        self._all = {
            Kind.AGENT: old["agents"].keys() & new["agents"].keys(),
            Kind.STEP: old["steps"].keys() & new["steps"].keys(),
        }

    def of(self, ids: Iterable[str]) -> str:
        """Return the short names, in order."""
        return ", ".join(sorted(self._short.get(each, each) for each in ids))

    def heading(self, kind: Kind, ids: Collection[str]) -> str:
        """Return the heading of changes that are those of *ids*."""
        if kind is Kind.LOCK:
            return "the lock"
        known = self._all[kind]
        if len(ids) > 1 and known.issuperset(ids):
            return _all_but(ids, known, f"{kind}s", self.of) or f"{kind}s {self.of(ids)}"
        return f"{kind}s {self.of(ids)}" if len(ids) > 1 else f"{kind} {self.of(ids)}"


def _without_module(subject: str) -> str:
    return subject.rpartition(":")[2] or subject


def _all_but(
    names: Collection[str], known: Collection[str], noun: str, write: Callable[[Iterable[str]], str]
) -> str:
    """Return `all 12 steps but ...` if *names* are nearly all that are *known*, else nothing."""
    missing = set(known) - set(names)
    if len(missing) > MOST_LEFT_OUT or len(names) <= 2 * len(missing) + 1:
        return ""
    return f"all {len(known)} {noun}" + (f" but {write(missing)}" if missing else "")


def grouped(changes: list[Change], old: Lock, new: Lock) -> list[Group]:
    """Return the lines of a report, grouped by agents and steps, agents first."""
    names = Names(old, new)
    subjects: dict[tuple[Kind, Line], set[str]] = {}
    for kind, subject, line in (*_word_lines(changes), *_other_lines(changes, names)):
        subjects.setdefault((kind, line), set()).add(subject)
    groups: dict[tuple[Kind, tuple[str, ...]], list[Line]] = {}
    for (kind, line), ids in subjects.items():
        groups.setdefault((kind, tuple(sorted(ids))), []).append(line)
    kinds, verdicts, parts = list(Kind), list(Verdict), list(What)
    order = sorted(
        groups.items(),
        key=lambda group: (
            kinds.index(group[0][0]),
            min(verdicts.index(line.verdict) for line in group[1]),
            -len(group[0][1]),
            group[0][1],
        ),
    )
    return [
        Group(
            names.heading(kind, ids),
            sorted(
                lines,
                key=lambda line: (parts.index(line.what), verdicts.index(line.verdict), line.text),
            ),
        )
        for (kind, ids), lines in order
    ]


def _word_lines(changes: Iterable[Change]) -> Iterator[tuple[Kind, str, Line]]:
    """Yield the words that moved; words that moved alike for the same subjects are one line."""
    subjects: dict[tuple[Kind, str, Verdict, str], dict[str, set[What]]] = {}
    for change in changes:
        if change.what in WORDS:
            moved = f"{change.old} -> {change.new}"
            key = change.kind, change.name, change.verdict, moved
            subjects.setdefault(key, {}).setdefault(change.subject, set()).add(change.what)
    together: dict[tuple[Kind, tuple[What, ...], Verdict, str, tuple[str, ...]], list[str]] = {}
    for (kind, name, verdict, moved), sides in subjects.items():
        for side in {tuple(sorted(parts)) for parts in sides.values()}:
            ids = tuple(sorted(each for each in sides if tuple(sorted(sides[each])) == side))
            together.setdefault((kind, side, verdict, moved, ids), []).append(name)
    for (kind, side, verdict, moved, ids), names in together.items():
        known, noun = (ACTIONS, "actions") if side[0] is What.ACTION else (CATEGORIES, "categories")
        where = _PARTS[side[0]] if len(side) == 1 else ""
        text = f"{_listed(names, known, noun)}{where}: {moved}"
        for subject in ids:
            yield kind, subject, Line(verdict, side[0], text)


def _listed(names: Collection[str], known: Collection[str], noun: str) -> str:
    return _all_but(names, known, noun, lambda left: ", ".join(sorted(left))) or ", ".join(names)


def _other_lines(changes: list[Change], names: Names) -> Iterator[tuple[Kind, str, Line]]:
    """Yield the lines of everything but words."""
    presence = {change.subject: change for change in changes if change.what is What.PRESENCE}
    # By subject, verdict, and text before and after them: names that share a line.
    taken: dict[tuple[Kind, str, Verdict, str, str], list[str]] = {}
    leaving: dict[tuple[str, Verdict, str], dict[str, list[str]]] = {}
    for change in changes:
        kind, subject, verdict = change.kind, change.subject, change.verdict
        if change.what is What.MAY_TAKE and change.name in presence:
            step = presence[change.name]
            state = _state(change.new or change.old)
            taken.setdefault(
                (step.kind, change.name, step.verdict, f"{state} for ", ""), []
            ).append(subject)
        elif change.what is What.MAY_TAKE:
            moved = f": {_moved(change.old, change.new)}"
            taken.setdefault((kind, subject, verdict, "may take ", moved), []).append(change.name)
        elif change.what is What.LEAVES:
            may = "may leave" if change.new else "may no longer leave"
            categories = leaving.setdefault((subject, verdict, may), {})
            categories.setdefault(change.name, []).append(change.by)
        elif change.what not in WORDS:
            for what, text in _texts(change, names):
                yield kind, subject, Line(verdict, what, text)
    for (kind, subject, verdict, before, after), ids in taken.items():
        yield kind, subject, Line(verdict, What.MAY_TAKE, f"{before}{names.of(ids)}{after}")
    for (subject, verdict, may), categories in leaving.items():
        for text in _leaving(categories, may, names):
            yield Kind.AGENT, subject, Line(verdict, What.LEAVES, text)


def _leaving(leaves: Mapping[str, Iterable[str]], may: str, names: Names) -> Iterator[str]:
    """Yield by which steps categories may leave; those with the same steps together."""
    categories: dict[str, list[str]] = {}
    for category, steps in leaves.items():
        categories.setdefault(names.of(steps), []).append(category)
    for steps, together in categories.items():
        yield f"{_listed(together, CATEGORIES, 'categories')} {may} by {steps}"


def _state(state: Mapping[str, object] | None) -> str:
    return next(iter(state)) if state else "no step of it"


def _moved(old: Mapping[str, Iterable[str]] | None, new: Mapping[str, Iterable[str]] | None) -> str:
    """Return how the state of a step moved; if it did not, which words are the reason now."""
    if _state(old) != _state(new) or not old or not new:
        return f"{_state(old)} -> {_state(new)}"
    reasons = (", ".join(state[_state(state)]) for state in (old, new))
    return f"{_state(old)}, because of " + " -> ".join(reasons)


def _texts(change: Change, names: Names) -> Iterator[tuple[What, str]]:
    """Yield the lines of a change that shares them with no other one of its subject."""
    what, old, new = change.what, change.old, change.new
    if what is What.PRESENCE:
        yield from _of_presence(change, names)
    elif what is What.RISK:
        yield what, f"the data risk: {_as_json(old)} -> {_as_json(new)}"
    elif what is What.REGISTERS:
        yield what, "registers another schema version; nothing that a lock lists is the reason"
    elif what is What.DESCRIPTION:
        yield what, f"description: {_excerpts(old or '', new or '')}"
    elif what in _PARTS:
        place = f"{change.name}{_PARTS[what]}" if change.name else f"the {_PARTS[what][8:]}"
        if old is not None and new is not None:
            yield what, f"{place}: {old} -> {new}"
        elif new is not None:
            yield what, f"{place} is new: {new}"
        else:
            beside = " while an open place was added" if change.verdict is Verdict.WEAKENS else ""
            yield what, f"{place} is gone{beside}: {old}"
    else:
        yield what, f"{change.name}: {_as_json(old)} -> {_as_json(new)}"


def _of_presence(change: Change, names: Names) -> Iterator[tuple[What, str]]:
    if change.new is None:
        yield change.what, f"this {change.kind} is gone"
        return
    risk = change.new.get("risk")
    arguments = [
        f"{name} {', '.join(value) if isinstance(value, list) else _as_json(value)}"
        for name, value in (risk or {}).items()
    ]
    said = "; ".join(arguments) or "declares no word" if risk is not None else "declares no risk"
    yield change.what, f"new {change.kind}: {said}"
    if change.kind is Kind.AGENT:
        steps = change.new.get("steps", {})
        for state, verb in (("allowed", "may take"), ("open", "open"), ("refused", "refused")):
            if steps.get(state):
                yield What.MAY_TAKE, f"{verb} {names.of(steps[state])}"
        for text in _leaving(change.new.get("leaves", {}), "may leave", names):
            yield What.LEAVES, text


def _as_json(value: object) -> str:
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)


def _excerpts(old: str, new: str) -> str:
    """Return two texts from the word at which they begin to differ."""
    pairs = enumerate(zip(old, new, strict=False))
    same = next((index for index, (one, other) in pairs if one != other), 0)
    start = old.rfind(" ", 0, same) + 1
    start = start if start > MAX_DESCRIPTION_COLUMNS // 2 else 0
    texts = (f"{'...' if start else ''}{text[start:]}" for text in (old, new))
    return " -> ".join(
        f'"{cut(" ".join(text.split()), MAX_DESCRIPTION_COLUMNS)}"' for text in texts
    )


def counted(changes: Iterable[Change]) -> str:
    """Return how many changes there are of each verdict."""
    verdicts = [change.verdict for change in changes]
    counts = (f"{verdict} {verdicts.count(verdict)}" for verdict in Verdict if verdict in verdicts)
    return f"{number_of(len(verdicts), 'change')}: {', '.join(counts)}" if verdicts else ""


def notes(old: Lock, new: Lock, old_source: str, new_source: str) -> list[str]:
    """Return what was compared, how the locks were made, and what no lock holds."""
    sizes = [
        f"{number_of(len(lock['agents']), 'agent')}, {number_of(len(lock['steps']), 'step')}"
        for lock in (old, new)
    ]
    lines = [f"Compared {old_source} ({sizes[0]}) with {new_source} ({sizes[1]})."]
    made = [lock.get("made_with", {}) for lock in (old, new)]
    for library in sorted({**made[0], **made[1]}):
        versions = [each.get(library, "unknown") for each in made]
        if versions[0] != versions[1]:
            lines.append(
                f"Made with {library} {versions[0]} and {versions[1]}: places and schema versions "
                "may differ for that reason alone."
            )
    modules = [", ".join(lock.get("modules", [])) or "none" for lock in (old, new)]
    if modules[0] != modules[1]:
        lines.append(f"Made of other modules: {modules[0]} -> {modules[1]}.")
    lines.append("No lock holds blocks of remit.span and steps of other packages.")
    return lines
