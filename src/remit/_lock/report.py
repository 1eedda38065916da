"""Draws the difference of two locks for people: equal changes of several steps are one line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, cast

from remit._base.text import cut, number_of
from remit._lock.difference import (
    PLACES,
    REDACTED,
    WORDS,
    Change,
    Kind,
    Lock,
    RiskWords,
    What,
    redaction,
)
from remit._policy.widening import Effect
from remit._policy.words import ACTIONS, CATEGORIES

RECORDED: Final = "recorded"
MAX_REASONS: Final = 3
"""More words of a step are counted, not listed."""
MAX_PLACES: Final = 8
"""More places of a new step are counted, not listed."""
MAX_JSON_COLUMNS: Final = 120
MAX_DESCRIPTION_COLUMNS: Final = 60
NO_MORE: Final = "no more"
"""In place of how a category leaves: it does not."""
_PARTS: Final = {
    What.ACTION: "",
    What.PARAMS: " in the params",
    What.RESULT: " in the result",
    What.PARAMS_PLACE: " in the params",
    What.RESULT_PLACE: " in the result",
}
_COUNTED: Final = {
    Effect.WIDENS: ("widen", "widens"),
    Effect.WEAKENS: ("weaken", "weakens"),
    Effect.NARROWS: ("narrow", "narrows"),
    Effect.DECLARES: ("declare for the first time", "declares for the first time"),
    Effect.CHANGES: ("change", "changes"),
}


class Line(NamedTuple):
    """One line of a report; *what* decides its place among the lines of its group."""

    effect: Effect
    what: What
    text: str


class Group(NamedTuple):
    """The lines that are the same for some agents or steps, which the heading names."""

    heading: str
    lines: list[Line]


Subjects = dict[tuple[Kind, Line], set[str]]
"""By line, the agents or steps that it is the same for."""


class Names:
    """Short names of agents and steps: without their module, if that names one of them."""

    def __init__(self, old: Lock, new: Lock) -> None:
        agents = [old["agents"].keys(), new["agents"].keys()]
        steps = [old["steps"].keys(), new["steps"].keys()]
        ids = {name for names in (*agents, *steps) for name in names}
        short = {name: name.rpartition(":")[2] or name for name in ids}
        times = Counter(short.values())
        self._short = {name: text for name, text in short.items() if times[text] == 1}
        self._in_both = {
            Kind.AGENT: agents[0] & agents[1],
            Kind.STEP: (steps[0] & steps[1]).difference(*agents),
        }

    def of(self, ids: Iterable[str]) -> str:
        """Return the short names, in order."""
        return ", ".join(sorted(self._short.get(name, name) for name in ids))

    def heading(self, kind: Kind, ids: Collection[str]) -> str:
        """Return the heading of the lines that are the same for *ids*."""
        if kind is Kind.LOCK:
            return "the lock"
        if len(ids) == 1:
            return f"{kind} {self.of(ids)}"
        return _all_but(ids, self._in_both[kind], f"{kind}s", self.of) or f"{kind}s {self.of(ids)}"


def _all_but(
    names: Collection[str], known: Collection[str], noun: str, write: Callable[[Iterable[str]], str]
) -> str:
    """Return `all steps but ...` if *names* are most of what is *known*, else nothing."""
    missing = set(known).difference(names)
    if len(names) <= 2 * len(missing) + 1:
        return ""
    return f"all {noun} but {write(missing)}" if missing else f"all {len(known)} {noun}"


def grouped(changes: list[Change], old: Lock, new: Lock) -> list[Group]:
    """Return the lines of a report by agents and steps, agents first."""
    names = Names(old, new)
    presence = {change.subject: change for change in changes if change.what is What.PRESENCE}
    subjects = _of_words(change for change in changes if change.what in WORDS)
    places = _of_places(change for change in changes if change.what in PLACES)
    for kind, subject, line in (*places, *_of_others(changes, presence, names)):
        subjects.setdefault((kind, line), set()).add(subject)
    groups: dict[tuple[Kind, tuple[str, ...]], list[Line]] = {}
    for (kind, line), ids in subjects.items():
        # What is new or gone keeps its lines together.
        alone, alike = ids & presence.keys(), ids - presence.keys()
        for together in (*((name,) for name in alone), *([tuple(sorted(alike))] if alike else [])):
            groups.setdefault((kind, together), []).append(line)
    kinds, effects, parts = list(Kind), list(Effect), list(What)
    for lines in groups.values():
        lines.sort(key=lambda line: (parts.index(line.what), effects.index(line.effect), line))
    order = sorted(
        groups,
        key=lambda group: (
            kinds.index(group[0]),
            min(effects.index(line.effect) for line in groups[group]),
            -len(group[1]),
            group[1],
        ),
    )
    return [Group(names.heading(*group), groups[group]) for group in order]


def _of_words(changes: Iterable[Change]) -> Subjects:
    """Return the lines of words; those that moved alike for the same subjects are one."""
    sides: dict[tuple[Kind, str, Effect, str], dict[str, list[What]]] = {}
    for change in changes:
        key = change.kind, change.name, change.effect, f"{change.old} -> {change.new}"
        sides.setdefault(key, {}).setdefault(change.subject, []).append(change.what)
    together: dict[tuple[Kind, Effect, str, tuple[What, ...], frozenset[str]], list[str]] = {}
    for (kind, name, effect, moved), sides_of in sides.items():
        for where in set(map(tuple, sides_of.values())):
            ids = frozenset(name for name, parts in sides_of.items() if tuple(parts) == where)
            together.setdefault((kind, effect, moved, where, ids), []).append(name)
    subjects: Subjects = {}
    for (kind, effect, moved, where, ids), names in together.items():
        known = (ACTIONS, "actions") if where[0] is What.ACTION else (CATEGORIES, "categories")
        side = _PARTS[where[0]] if len(where) == 1 else ""
        line = Line(effect, where[0], f"{_listed(names, *known)}{side}: {moved}")
        subjects.setdefault((kind, line), set()).update(ids)
    return subjects


def _listed(names: Collection[str], known: Collection[str], noun: str) -> str:
    return _all_but(names, known, noun, lambda left: ", ".join(sorted(left))) or ", ".join(names)


def _of_places(changes: Iterable[Change]) -> Iterator[tuple[Kind, str, Line]]:
    """Yield the lines of places, each with its subject; places that are redacted alike are one."""
    alike: dict[tuple[Kind, str, Effect, What, str, str], list[Change]] = {}
    for change in changes:
        was, now = redaction(change.old or ""), redaction(change.new or "")
        old, new = (was.text, now.text) if was.type == now.type else (change.name, "")
        key = change.kind, change.subject, change.effect, change.what, old, new
        alike.setdefault(key, []).append(change)
    for (kind, subject, effect, what, old, new), together in alike.items():
        text = _place(together[0])
        if len(together) > 1:
            places = ", ".join(
                repr(change.name) if change.name else "the value" for change in together
            )
            text = f"{places}{_PARTS[what]}: {old or RECORDED} -> {new or RECORDED}"
        yield kind, subject, Line(effect, what, text)


def _place(change: Change) -> str:
    side = _PARTS[change.what]
    place = f"{change.name!r}{side}" if change.name else f"the {side.rpartition(' ')[2]}"
    if change.old is None:
        return f"{place} ({change.new}) is new"
    if change.new is None:
        more = ", and an unredacted value was added" if change.effect is Effect.WEAKENS else ""
        return f"{place} ({change.old}) was removed{more}"
    return f"{place}: {change.old} -> {change.new}"


def _of_others(
    changes: Iterable[Change], presence: Mapping[str, Change], names: Names
) -> Iterator[tuple[Kind, str, Line]]:
    """Yield the lines of everything but words, each with its subject."""
    # By subject and by the text around them, the names that share a line.
    taken: dict[tuple[Kind, str, Effect, str, str], list[str]] = {}
    leaving: dict[tuple[str, Effect], dict[str, dict[str, str]]] = {}
    for change in changes:
        kind, subject, effect = change.kind, change.subject, change.effect
        if change.what is What.MAY_TAKE and change.name in presence:
            step = presence[change.name].kind
            as_step = "as a step, " * (step is Kind.AGENT)
            state = as_step + "was " * (change.new is None) + _state(change.new or change.old)
            taken.setdefault((step, change.name, effect, f"{state} for ", ""), []).append(subject)
        elif change.what is What.MAY_TAKE:
            key = kind, subject, effect, *_moved(change)
            taken.setdefault(key, []).append(change.name)
        elif change.what is What.LEAVES:
            how = change.new or NO_MORE
            categories = leaving.setdefault((subject, effect), {})
            categories.setdefault(change.name, {})[change.by] = how
        elif change.what not in WORDS | PLACES:
            for line in _lines(change, names):
                yield kind, subject, line
    for (kind, subject, effect, before, after), ids in taken.items():
        yield kind, subject, Line(effect, What.MAY_TAKE, f"{before}{names.of(ids)}{after}")
    for (subject, effect), categories in leaving.items():
        for text in _leaving(categories, names):
            yield Kind.AGENT, subject, Line(effect, What.LEAVES, text)


def _leaving(leaves: Mapping[str, Mapping[str, str]], names: Names) -> Iterator[str]:
    """Yield the steps through which categories may leave, and how; equal ones share a line."""
    together: dict[tuple[str, str], list[str]] = {}
    for category, by_step in leaves.items():
        for how in dict.fromkeys(by_step.values()):
            steps = names.of(step for step, one in by_step.items() if one == how)
            together.setdefault((steps, how), []).append(category)
    for (steps, how), categories in together.items():
        listed = _listed(categories, CATEGORIES, "categories")
        if how == NO_MORE:
            yield f"{listed} may no longer leave through {steps}"
        else:
            yield f"{listed} may leave through {steps} ({how})"


def _state(state: Mapping[str, object] | None) -> str:
    return next(iter(state)) if state else "not one of its steps"


def _moved(change: Change) -> tuple[str, str]:
    """Return how a step's state moved, else its reasons: the text before and after its name."""
    old, new = _state(change.old), _state(change.new)
    if old != new:
        return "may take ", f": {old} -> {new}"
    before, after = change.old[old], change.new[new]
    gone = [word for word in before if word not in after]
    added = [word for word in after if word not in before]
    reasons = [
        f"{since} for "
        + (", ".join(words) if len(words) <= MAX_REASONS else number_of(len(words), "word"))
        for since, words in (("no longer", gone), ("now", added))
        if words
    ]
    return "", f": still {new}, {' and '.join(reasons) or 'for the same reasons'}"


def _lines(change: Change, names: Names) -> Iterator[Line]:
    """Yield the lines of a change that shares them with no other one of its subject."""
    effect, what, old, new = change.effect, change.what, change.old, change.new
    if what is What.PRESENCE and new is None:
        yield Line(effect, what, f"this {change.kind} was removed")
    elif what is What.PRESENCE:
        yield Line(effect, what, f"new {change.kind}: {_risk(new.get('risk'))}")
        for name, number in new.get("limits", {}).items():
            yield Line(effect, What.LIMIT, f"{name} a run: {_at_most(number)}")
        yield from _recorded(new, effect)
        # A step has neither of them.
        for state, ids in new.get("steps", {}).items():
            means = Effect.CHANGES if state == "denied" else effect
            yield Line(means, What.MAY_TAKE, f"{state}: {names.of(ids)}")
        for text in _leaving(new.get("leaves", {}), names):
            yield Line(effect, What.LEAVES, text)
    elif what is What.DESCRIPTION:
        yield Line(effect, what, f"description: {_excerpts(old or '', new or '')}")
    elif what is What.LIMIT:
        yield Line(effect, what, f"{change.name} a run: {_at_most(old)} -> {_at_most(new)}")
    elif what is What.REGISTERS:
        text = "its schema version changed, for a reason that a lock does not show"
        yield Line(effect, what, text)
    else:
        yield Line(effect, what, f"{change.name or what}: {_as_json(old)} -> {_as_json(new)}")


def _at_most(number: int | None) -> str:
    return "no limit" if number is None else f"at most {number}"


def _recorded(step: Mapping[str, Mapping[str, str]], effect: Effect) -> Iterator[Line]:
    """Yield which values of a new step are recorded, that is, not redacted by its declaration."""
    for key, what in (("params", What.PARAMS_PLACE), ("result", What.RESULT_PLACE)):
        places = step.get(key, {})
        names = [repr(name) if name else "all" for name in places if _is_recorded(places[name])]
        if names:
            more = f" and {len(names) - MAX_PLACES} more" * (len(names) > MAX_PLACES)
            yield Line(effect, what, f"records {', '.join(names[:MAX_PLACES])}{more}{_PARTS[what]}")


def _is_recorded(place: str) -> bool:
    kept = redaction(place)
    return kept.redacted < REDACTED and kept.type not in {"null", "object", "array"}


def _risk(risk: Mapping[str, object] | None) -> str:
    """Return a data risk as the arguments of `remit.risk`, in their order."""
    if risk is None:
        return "without a risk declaration"
    arguments = [name for name in RiskWords.__annotations__ if name in risk]
    return (
        "; ".join(f"{name} {_as_json(risk[name])}" for name in arguments)
        or "its risk declaration is empty"
    )


def _as_json(value: object) -> str:
    """Return a value of a lock on one line: words as they are, anything else as JSON."""
    words = cast("list[object]", value) if isinstance(value, list) else []
    if words and all(isinstance(word, str) for word in words):
        return ", ".join(map(str, words))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return cut(text, MAX_JSON_COLUMNS)


def _excerpts(old: str, new: str) -> str:
    """Return two texts from the word at which they begin to differ."""
    pairs = enumerate(zip(old, new, strict=False))
    same = next((index for index, (one, other) in pairs if one != other), len(old))
    start = old.rfind(" ", 0, same) + 1
    start = start if start > MAX_DESCRIPTION_COLUMNS // 2 else 0
    texts = (f"{'...' if start else ''}{text[start:]}" for text in (old, new))
    return " -> ".join(
        f'"{cut(" ".join(text.split()), MAX_DESCRIPTION_COLUMNS)}"' for text in texts
    )


def counted(groups: Iterable[Group]) -> str:
    """Return how many lines of a report there are of each effect."""
    effects = [line.effect for group in groups for line in group.lines]
    counts = [(effects.count(effect), words) for effect, words in _COUNTED.items()]
    listed = ", ".join(f"{count} {words[count == 1]}" for count, words in counts if count)
    return f"{number_of(len(effects), 'difference')}: {listed}." if effects else ""


def sizes(lock: Lock) -> str:
    """Return how many agents a lock has, and how many steps that are not agents."""
    steps = lock["steps"].keys() - lock["agents"].keys()
    return f"{number_of(len(lock['agents']), 'agent')}, {number_of(len(steps), 'step')}"


def notes(old: Lock, new: Lock, old_source: str, new_source: str) -> list[str]:
    """Return the compared locks, how they were made, and the limits of a lock."""
    compared = (
        f"{source} ({sizes(lock)})" for source, lock in ((old_source, old), (new_source, new))
    )
    lines = ["Compared {} with {}.".format(*compared)]
    made = [lock.get("made_with", {}) for lock in (old, new)]
    for library in sorted({**made[0], **made[1]}):
        versions = [each.get(library, "unknown") for each in made]
        if versions[0] != versions[1]:
            lines.append(
                f"Made with {library} {versions[0]} and {versions[1]}: the types of values and "
                "the schema versions may differ only because of this."
            )
    modules = [", ".join(lock.get("modules", [])) or "none" for lock in (old, new)]
    if modules[0] != modules[1]:
        lines.append(f"Made from different modules: {modules[0]} -> {modules[1]}.")
    lines.append("A lock does not contain settings, remit.span blocks or steps of other packages.")
    return lines
