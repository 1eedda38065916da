"""Differences between the declarations of two versions of an agent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple, cast

from msgspec import Raw

from remit._policy.asks import ASKED
from remit._policy.maxima import COUNTED
from remit._policy.widening import (
    Effect,
    of_agent_word,
    of_first_word,
    of_number,
    of_step_word,
)
from remit._policy.words import (
    ACTION,
    CLASSIFICATION,
    LIMITS,
    NAMES,
    PARAMS,
    RESULT,
    UNKNOWN,
)
from remit.collector.domain.declared import ALL_WORDS, Declaration, Declared
from remit.collector.json_io import read_json
from remit.collector.page.agents.rehearsal import Expected, denials, exits
from remit.collector.page.declared import VERBS
from remit.collector.page.formats import words
from remit.collector.page.payload_tree import members

_WORDS: Final = {
    "allowed": "may",
    "disallowed": "never",
    ASKED: "asks",
    "included": "yes",
    "excluded": "never",
    UNKNOWN: None,
}
_SIDES: Final = {ACTION: "", PARAMS: " going in", RESULT: " coming out"}


class Group(StrEnum):
    """The meaning of a change."""

    WIDENS = "widens"
    NARROWS = "narrows"
    WEAKENS = "weakens"
    DECLARES = "first declared"
    SCHEMA = "schema"


_GROUPS: Final = {
    Effect.WIDENS: Group.WIDENS,
    Effect.NARROWS: Group.NARROWS,
    Effect.WEAKENS: Group.WEAKENS,
    Effect.DECLARES: Group.DECLARES,
}


class Kind(StrEnum):
    """The part of a declaration that changed."""

    STEP = "step"
    WORD = "word"
    CLASS = "class"
    FIELD = "field"


class Said(NamedTuple):
    """A word or a few of a version.

    Attributes:
        text: A word or a few; None if it is undeclared.
        rule: The rule that redacts the field.
    """

    text: str | None
    there: bool = True
    classification: bool = False
    rule: str | None = None


ABSENT: Final = Said(None, there=False)


class Change(NamedTuple):
    """One difference.

    Attributes:
        what: The part of it; empty if it is the step as a whole.
    """

    group: Group
    kind: Kind
    step: str
    what: str
    old: Said
    new: Said
    follows: str = ""


def changes(old: Declaration, new: Declaration) -> list[Change]:
    """Return how *new* differs from *old*, in the order of the groups."""
    denied = denials(new)
    listed: list[Change] = []
    for name in sorted({*old.steps, *new.steps}):
        before, after = old.steps.get(name), new.steps.get(name)
        if before is None and after is not None:
            listed += _added(new, after, denied.get(name))
        elif before is not None and after is None:
            listed.append(Change(Group.NARROWS, Kind.STEP, name, "", _summary(before), ABSENT))
        elif before is not None and after is not None:
            listed += _together(_step_words(before, after, denied.get(name)))
            listed += _fields(before, after)
    known = old.own or new.own
    if known is not None:
        # A version that does not declare the agent has no limits.
        own, new_own = old.own or Declared(known.name), new.own or Declared(known.name)
        listed += _together(_own_words(own, new_own))
        listed += _numbers(own, new_own)
        listed += _fields(own, new_own)
        listed += _owner(own, new_own)
    groups = list(Group)
    return sorted(listed, key=lambda change: groups.index(change.group))


def new_exits(old: Declaration, new: Declaration) -> dict[str, list[str]]:
    """Return the categories that can newly leave, and the steps by which they leave."""
    before, after = _exits(old), _exits(new)
    ways: dict[str, list[str]] = {}
    for category, step in after:
        if (category, step) not in before:
            ways.setdefault(category, []).append(step)
    return ways


def _exits(declared: Declaration) -> dict[tuple[str, str], None]:
    """Return categories and the steps by which they may leave, in order."""
    return {
        (category, step): None
        for way in exits(declared, denials(declared))
        for category in way.categories
        for step in (*way.takes, *way.not_ruled_out)
    }


def _added(new: Declaration, step: Declared, reason: Expected | None) -> Iterator[Change]:
    follows = ""
    if reason is not None:
        follows = (
            "would be denied: the agent forbids or excludes it"
            if reason.does
            else f"would be denied: {len(reason.undeclared)} of the agent's limits are undeclared"
        )
    elif new.own is not None and step.kind:
        follows = "runs under deny, because it has no effect of its own"
    yield Change(Group.WIDENS, Kind.STEP, step.name, "", ABSENT, _summary(step), follows)
    if step.undeclared:
        count = f"{step.undeclared} of {ALL_WORDS} actions and categories: ask its author"
        yield Change(Group.WEAKENS, Kind.STEP, step.name, "", ABSENT, Said(None), count)


def _summary(step: Declared) -> Said:
    """Return the actions of a step and its data."""
    may = [VERBS[name] for name in step.allowed]
    data = map(words, step.included)
    texts = [
        *([f"may {', '.join(may)}"] if may else []),
        *([f"handles {', '.join(data)}"] if step.included else []),
    ]
    return Said("; ".join(texts) or None)


def _step_words(old: Declared, new: Declared, reason: Expected | None) -> Iterator[Change]:
    judge = of_step_word if _is_declared(old) else of_first_word
    for part, name in NAMES:
        before, after = old.word(part, name), new.word(part, name)
        if before == after:
            continue
        group = _GROUPS[judge(name, before, after)]
        follows = ""
        if reason is not None and name in (*reason.does, *reason.undeclared):
            follows = "would be denied: the agent forbids or excludes it"
        elif before in LIMITS and after == UNKNOWN:
            follows = "none yet: the agent does not forbid or exclude it"
        yield _word(group, old.name, part, name, (before, after), follows)
    yield from _class(old, new)


def _is_declared(step: Declared) -> bool:
    """Return whether a step has any word or a classification."""
    known = any(step.word(part, name) != UNKNOWN for part, name in NAMES)
    return known or step.classification != UNKNOWN


def _together(listed: Iterable[Change]) -> Iterator[Change]:
    """Yield changes, one for a category whose two sides changed in the same way."""
    sides = tuple(side for side in _SIDES.values() if side)
    pairs: dict[Change, list[Change]] = {}
    for change in listed:
        side = next((side for side in sides if change.what.endswith(side)), "")
        pairs.setdefault(change._replace(what=change.what.removesuffix(side)), []).append(change)
    for both, changed in pairs.items():
        yield from [both] if len(changed) == len(sides) else changed


def _own_words(old: Declared, new: Declared) -> Iterator[Change]:
    """Yield the changed limits of the agent; its other words limit nothing."""
    for part, name in NAMES:
        before, after = old.remit_word(part, name), new.remit_word(part, name)
        effect = of_agent_word(name, before, after)
        if before == after or effect is Effect.CHANGES:
            continue
        if after == ASKED:
            follows = "its steps ask a person before they do this"
        else:
            widens = effect is Effect.WIDENS
            follows = "its steps may do this" if widens else "none of its steps may do this"
        yield _word(_GROUPS[effect], old.name, part, name, (before, after), follows)


def _numbers(old: Declared, new: Declared) -> Iterator[Change]:
    """Yield the changed numbers of the agent: how many steps of a run may take an action."""
    for name in COUNTED:
        before, after = old.numbers.get(name), new.numbers.get(name)
        if before != after:
            group = _GROUPS[of_number(before, after)]
            was, is_ = (
                Said("no limit" if number is None else f"at most {number:,}")
                for number in (before, after)
            )
            yield Change(group, Kind.WORD, old.name, f"{words(name)} a run", was, is_)


def _word(
    group: Group, step: str, part: str, name: str, said: tuple[str, str], follows: str
) -> Change:
    what = f"{words(name)}{_SIDES[part]}"
    old, new = (Said(_WORDS.get(word, word)) for word in said)
    return Change(group, Kind.WORD, step, what, old, new, follows)


def _class(old: Declared, new: Declared) -> Iterator[Change]:
    before, after = old.classification, new.classification
    if before == after:
        return
    judge = of_step_word if _is_declared(old) else of_first_word
    effect = judge(CLASSIFICATION, before, after)
    follows = "handles more confidential data" if effect is Effect.WIDENS else ""
    if effect is Effect.WEAKENS and after != UNKNOWN:
        follows = "declared as less confidential"
    was, is_ = (
        Said(None if word == UNKNOWN else word, classification=word != UNKNOWN)
        for word in (before, after)
    )
    yield Change(_GROUPS[effect], Kind.CLASS, old.name, "class", was, is_, follows)


def _fields(old: Declared, new: Declared) -> Iterator[Change]:
    """Yield the changed fields of parameters and result."""
    for side, before, after in (
        ("", _fields_of(old.params_schema), _fields_of(new.params_schema)),
        ("result: ", _fields_of(old.result_schema), _fields_of(new.result_schema)),
    ):
        for name in sorted(before.keys() | after.keys()):
            was, is_ = before.get(name, ABSENT), after.get(name, ABSENT)
            if was != is_:
                yield Change(
                    Group.SCHEMA,
                    Kind.FIELD,
                    old.name,
                    f"{side}{name}",
                    was,
                    is_,
                    _field(was, is_),
                )


def _field(old: Said, new: Said) -> str:
    if old.rule and not new.rule and new.there:
        return "no longer redacted"
    return "now redacted" if new.rule and not old.rule and old.there else ""


def _fields_of(schema_json: Raw) -> dict[str, Said]:
    """Return the fields of an object; of any other value its type, without a name."""
    schema = members(read_json(schema_json))
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {"value": _typed(schema)} if schema.get("type") not in {None, "object"} else {}
    required = cast("list[str]", schema.get("required") or [])
    return {
        str(name): _typed(cast("Mapping[str, Any]", field), optional=name not in required)
        for name, field in cast("dict[str, object]", properties).items()
        if isinstance(field, dict)
    }


def _typed(schema: Mapping[str, Any], *, optional: bool = False) -> Said:
    kinds: object = schema.get("type", schema.get("$ref", "any")) or "any"
    listed = cast("list[object]", kinds) if isinstance(kinds, list) else [kinds]
    text = " or ".join(map(str, listed))
    text = text.rpartition("/")[2]
    if "anyOf" in schema:
        text = " or ".join(_typed(choice).text or "any" for choice in schema["anyOf"])
    rule = schema.get("x-remit-redacted")
    return Said(f"{text}, optional" if optional else text, rule=rule)


def _owner(old: Declared, new: Declared) -> Iterator[Change]:
    if old.owner != new.owner:
        yield Change(
            Group.SCHEMA,
            Kind.FIELD,
            old.name,
            "owner",
            Said(old.owner),
            Said(new.owner),
        )
