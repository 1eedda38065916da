"""`remit schema show --risk`: declared, inferred, undeclared and suggested words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from remit._capture.rules.categories import category_of_name
from remit._capture.rules.names import name_rule
from remit._declare.inference import Side, effective, inferred, places_of
from remit._declare.limits import ceiling_of
from remit._declare.registry import AgentType, Registry, SpanType
from remit._declare.risk import OTHERS
from remit._inspect.annotations import SECRETS
from remit._policy.asks import ASKED
from remit._policy.limits import Ceilings, under, verdict
from remit._policy.maxima import maxima_of
from remit._policy.rehearsal import Rehearsal, rehearse
from remit._policy.words import (
    ACTION,
    CATEGORIES,
    CLASSIFICATION,
    PARAMS,
    RESULT,
    UNKNOWN,
    DeclaredStep,
    declared_words,
)
from remit._policy.words import ACTIONS as ACTION_NAMES
from remit.cli._terminal import bold, columns, emit, faint
from remit.models.data_risk import DataRisk

Json = dict[str, Any]

ACTIONS: Final = "actions"
PARTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    ACTIONS: (ACTION, ACTION_NAMES),
    "params": (PARAMS, CATEGORIES),
    "result": (RESULT, CATEGORIES),
}
"""Parts of a data risk: their field on the wire, and their names."""

LABEL_COLUMNS: Final = 11


class Suggested(Struct, frozen=True):
    """A data category that only a name suggests.

    Attributes:
        category: Field of `remit.DataCategories`.
        path: Place in the signature; the name is its last part.
    """

    category: str
    side: Side
    path: str


def risk_report(agent: AgentType, registry: Registry) -> Json:
    """Return the declared and inferred data risk of the steps of *agent*, as plain JSON.

    Returns:
        `limits`: by action, or `steps`, how many steps of one run may take it. `under_deny`: the
        result of `rehearsal_of`. `span_types`: for each, the words that are `declared`, those
        `inferred` from a place in the signature, where they violate the agent's remit, the
        `undeclared` words, and undeclared categories that a name suggests (`suggested`). `whole`:
        the same for all of them together.
    """
    remit = ceiling_of(agent)
    steps = [_of_step(each, under((), remit)) for each in registry.span_types_of(agent)]
    return {
        "agent": agent.external_identifier,
        "limits": dict(maxima_of(agent.limits)),
        "under_deny": asdict(rehearsal_of(agent, registry)),
        "span_types": steps,
        "whole": _of_all(steps),
    }


def rehearsal_of(agent: AgentType, registry: Registry) -> Rehearsal:
    """Return which of the other span types that it registers *agent* may use."""
    agents = {declared.span_type.name for declared in registry.agents()}
    steps = [
        DeclaredStep(
            step.name, declared_words(effective(step)), step.step_kind, step.name in agents
        )
        for step in registry.span_types_of(agent)
        if step.name != agent.span_type.name
    ]
    return rehearse(agent.data_risk, steps)


def _of_step(declared: SpanType, ceilings: Ceilings) -> Json:
    risk = effective(declared)
    undeclared = {part: _undeclared(risk, part) for part in PARTS}
    return {
        "name": declared.name,
        "place": declared.place,
        "declared": _words_in(declared.data_risk),
        "inferred": [asdict(each) for each in inferred(declared)],
        "violations": [
            violation.sentence
            for violation in verdict(ceilings, declared.name, risk, strict=False).violations
        ],
        "undeclared": undeclared,
        "suggested": [
            asdict(each) for each in suggested(declared) if each.category in undeclared[each.side]
        ],
    }


def _words_in(risk: DataRisk | None) -> Json:
    if risk is None:
        return {}
    members = risk.model_dump(mode="json")
    words = {
        part: {name: word for name, word in members[member].items() if word != UNKNOWN}
        for part, (member, _) in PARTS.items()
    }
    words[ACTIONS] |= dict.fromkeys(risk.asks, ASKED)
    return {part: declared for part, declared in words.items() if declared}


def _undeclared(risk: DataRisk | None, part: str) -> list[str]:
    words = _words_in(risk).get(part, {})
    return [name for name in PARTS[part][1] if name not in words]


def _of_all(steps: Iterable[Json]) -> Json:
    """Return the words of all steps, each with its steps, and the words that no step declares."""
    declared: dict[str, dict[str, dict[str, list[str]]]] = {}
    for step in steps:
        for part, words in step["declared"].items():
            for name, word in words.items():
                steps_of = declared.setdefault(part, {}).setdefault(name, {})
                steps_of.setdefault(word, []).append(step["name"])
    return {
        "declared": declared,
        "inferred": [
            {"span_type": step["name"], **each} for step in steps for each in step["inferred"]
        ],
        "undeclared": {
            part: [
                name for name in names if all(name in step["undeclared"][part] for step in steps)
            ]
            for part, (_, names) in PARTS.items()
        },
    }


def suggested(declared: SpanType) -> tuple[Suggested, ...]:
    """Return the categories that names in the signature suggest, in its order.

    A name is no evidence, so it sets no category; the author has to declare it.
    """
    return tuple(
        dict.fromkeys(
            Suggested(category, side, place.path)
            for side, place in places_of(declared)
            if place.name and place.part is not bool
            for category in _category_of(place.name)
        )
    )


def _category_of(name: str) -> tuple[str, ...]:
    category = SECRETS if name_rule(name) is not None else category_of_name(name)
    return () if category is None else (category,)


def show_risk(name: str, report: Json) -> None:
    emit(bold(name))
    home = report["agent"].partition(":")[0] + ":"
    _show_limits(report["limits"])
    _show_rehearsal(report["under_deny"], home)
    for step in report["span_types"]:
        emit()
        emit(f"  {step['name']}  " + faint(step["place"]))
        _row("declared", map(_with_words, step["declared"].items()))
        _row("inferred", map(_with_type, step["inferred"]))
        _row("violations", step["violations"])
        _row("undeclared", _undeclared_lines(step["undeclared"]))
        _row("suggested", map(_with_place, step["suggested"]))
    whole = report["whole"]
    emit()
    emit("  the agent as a whole")
    _row("declared", _with_steps(whole["declared"], home))
    _row("inferred", (f"{_with_type(each)} in {each['span_type']}" for each in whole["inferred"]))
    _row("undeclared", _undeclared_lines(whole["undeclared"]))
    emit()


def _show_limits(limits: Mapping[str, int]) -> None:
    if limits:
        emit()
        emit("  at most, a run")
        for name, number in limits.items():
            emit(f"    {number:,} {name}")


def _show_rehearsal(under_deny: Json, home: str) -> None:
    """Write the steps that the agent may take, without the module *home* in their names."""

    def named(names: Iterable[str]) -> str:
        return ", ".join(name.removeprefix(home) for name in names)

    emit()
    emit("  under deny")
    _row("allowed", [named(under_deny["allowed"])])
    for label in ("asked", "undeclared", "denied"):
        steps = under_deny[label].items()
        _row(label, (f"{named([name])}: {', '.join(words)}" for name, words in steps))
    _row(
        "leaves",
        (
            f"{category} through {named(step for step, one in by_step.items() if one == how)} "
            f"({how})"
            for category, by_step in under_deny["leaves"].items()
            for how in sorted({*by_step.values()})
        ),
    )


def _row(label: str, lines: Iterable[str]) -> None:
    for line in lines:
        first = f"    {label:<{LABEL_COLUMNS}}"
        wrapped = textwrap.wrap(line, columns() - len(first), subsequent_indent="  ")
        for number, text in enumerate(wrapped):
            emit((faint(first) if number == 0 else " " * len(first)) + text)
        label = ""


def _with_words(part: tuple[str, Mapping[str, str]]) -> str:
    """Return the words of one part: `params: included health_and_medical; excluded others`."""
    names, words = PARTS[part[0]][1], part[1]
    by_word: dict[str, list[str]] = {"allowed": [], "included": []}
    for name in sorted(words, key=CLASSIFICATION.__eq__):
        key, value = (name, words[name]) if name == CLASSIFICATION else (words[name], name)
        by_word.setdefault(key, []).append(value)
    for word in by_word.keys() & {"disallowed", "excluded"}:
        positive = by_word["allowed"] or by_word["included"]
        if len(by_word[word]) > 1 and len(by_word[word]) + len(positive) == len(names):
            by_word[word] = [OTHERS]
    clauses = (f"{word} {', '.join(listed)}" for word, listed in by_word.items() if listed)
    return f"{part[0]}: {'; '.join(clauses)}"


def _with_steps(declared: Json, home: str) -> Iterator[str]:
    """Yield the positive words with the span types that declare them.

    Words of the same span types share a line.
    """
    for part in PARTS:
        names_of: dict[tuple[str, str], list[str]] = {}
        for name, words in declared.get(part, {}).items():
            for word in sorted(words.keys() - {"disallowed", "excluded"}):
                steps = ", ".join(step.removeprefix(home) for step in words[word])
                names_of.setdefault((word, steps), []).append(name)
        for (word, steps), names in names_of.items():
            yield f"{part}: {', '.join(names)} {word} ({steps})"


def _with_place(found: Json) -> str:
    return f"{found['side']}: {found['category']} ({found['path']})"


def _with_type(found: Json) -> str:
    return f"{found['side']}: {found['category']} ({found['path']}: {found['type']})"


def _undeclared_lines(undeclared: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield the undeclared words of each part, in the shorter form."""
    for part, names in undeclared.items():
        declared = [name for name in PARTS[part][1] if name not in names]
        if not declared:
            yield f"{part}: all"
        elif len(declared) < len(names):
            yield f"{part}: all but {', '.join(declared)}"
        elif names:
            yield f"{part}: {', '.join(names)}"
