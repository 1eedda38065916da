"""The remit of an agent: actions and data of its steps, and which of them would be denied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from remit._policy.asks import ASKED
from remit._policy.words import ACTION, ACTIONS, CATEGORIES, CLASSES, SENDING, UNKNOWN
from remit.collector.domain.declared import NEVER, Declared, is_named
from remit.collector.page.agents.asked_steps import AskedSteps, asked_steps
from remit.collector.page.agents.rehearsal import (
    Expected,
    asked,
    denials,
    exits,
    mentioned,
    undeclared_denials,
)
from remit.collector.page.agents.subjects import Subject
from remit.collector.page.declared import VERBS, short_names
from remit.collector.page.scope import scope_in
from remit.collector.page.visits import Html, Visit
from remit.collector.store.questions.denials import runs_beyond

_KIND_NAMES: Final = {"llm": "model call", "agent": "agent", "retriever": "retriever"}
"""Kinds of steps whose undeclared words violate no limit, as a reader sees them."""
_CONFIDENTIAL: Final = CLASSES.index("confidential")
_RESTRICTED: Final = CLASSES.index("restricted")


class Cell(NamedTuple):
    """The declaration of a step about an action or a category.

    Attributes:
        violates: Whether the step would be denied because of it.
    """

    text: str
    look: str
    violates: bool = False


class MatrixRow(NamedTuple):
    """A step in the matrix.

    Attributes:
        ran: How often it ran; None for the agent itself.
        asked: The actions for which it needs a person's yes.
        runs_as: Why it runs although its words are undeclared; empty otherwise.
    """

    step: Declared
    short: str
    ran: int | None
    cells: Sequence[Cell]
    folded: bool
    denial: Expected | None
    asked: Sequence[str]
    runs_as: str
    may: Sequence[str]
    asks: Sequence[str]
    never: Sequence[str]


def remit(visit: Visit, subject: Subject) -> Html:
    """Show the remit of the agent."""
    declared = subject.declared
    denied = denials(declared)
    opened = visit.query.get("categories") == "all"
    columns = list(CATEGORIES) if opened else mentioned(declared)
    undeclared = [name for name, counts in subject.counts.items() if counts["undeclared"]]
    short = short_names({*(step.name for step in declared.all), *undeclared})
    by_name = sorted(declared.steps, key=lambda name: short[name].casefold())
    ordered = sorted(by_name, key=lambda name: _rank(denied.get(name)))
    rows = [
        _row(
            declared.steps[name],
            short,
            columns,
            denied.get(name),
            subject.ran(name),
            asked(declared.own, declared.steps[name]),
        )
        for name in ordered
    ]
    return Html(
        "agent_remit.html",
        {
            "own": declared.own and _row(declared.own, short, columns, None, None),
            "rows": rows,
            "numbers": {} if declared.own is None else declared.own.numbers,
            "actions": ACTIONS,
            "columns": columns,
            "folded": len(CATEGORIES) - len(columns),
            "opened": opened,
            "would_be_denied": [row for row in rows if row.denial is not None],
            "asked": [row for row in rows if row.asked],
            "undeclared_denied": undeclared_denials(declared, undeclared),
            "denied": subject.total("denied"),
            "has_limits": declared.own is not None
            and bool(declared.own.limits or declared.own.asks),
            "exits": exits(declared, denied),
            "short": short,
            "undeclared_senders": [
                short[step.name]
                for step in declared.steps.values()
                if step.word(ACTION, SENDING) == UNKNOWN
            ],
            "verbs": VERBS,
            "advice": _advice(rows),
            "advice_on_asking": _advice_on_asking(rows),
            "questions": _questions(visit, subject),
            "beyond": _beyond(visit, subject),
        },
    )


def _rank(reason: Expected | None) -> int:
    """Return the place of a step in the table: denied, undeclared, or allowed."""
    if reason is None:
        return 2
    return 0 if reason.does else 1


def _row(
    step: Declared,
    short: Mapping[str, str],
    columns: Sequence[str],
    reason: Expected | None,
    ran: int | None,
    asks: Sequence[str] = (),
) -> MatrixRow:
    violated = [] if reason is None else [*reason.does, *reason.undeclared]
    cells = [
        *(_action(step, name, violates=name in violated) for name in ACTIONS),
        *(_category(step, name, violates=name in violated) for name in columns),
    ]
    return MatrixRow(
        step=step,
        short=short[step.name],
        ran=ran,
        cells=cells,
        folded=len(columns) < len(CATEGORIES),
        denial=reason,
        asked=() if reason is not None else asks,
        runs_as=_KIND_NAMES.get(step.kind, ""),
        may=[VERBS[name] for name in step.allowed if name not in step.asks],
        asks=[VERBS[name] for name in step.asks],
        never=[VERBS.get(name, name) for name in dict.fromkeys(name for _, name, _ in step.limits)],
    )


def _action(step: Declared, name: str, *, violates: bool) -> Cell:
    word = step.remit_word(ACTION, name)
    if word == ASKED:
        return Cell("asks", "asks", violates)
    if word == "allowed":
        return Cell("may", "yes", violates)
    if word == "disallowed":
        return Cell(NEVER, "no", violates)
    return Cell("", "hatched", violates)


def _category(step: Declared, name: str, *, violates: bool) -> Cell:
    words = step.in_words(name)
    if step.holds(name):
        return Cell(words, _darkness(step), violates)
    return Cell(words, "no" if words else "hatched", violates)


def _darkness(step: Declared) -> str:
    level = CLASSES.index(step.classification)
    if level >= _RESTRICTED:
        return "dark d3"
    return "dark" if level >= _CONFIDENTIAL else "yes"


def _advice(rows: Sequence[MatrixRow]) -> tuple[str, str] | None:
    """Return a step with undeclared words only, and the declaration with which it would run."""
    for row in rows:
        if row.denial is None or row.denial.does:
            continue
        words = {"forbids": ACTIONS, "excludes": CATEGORIES}
        undeclared = {
            argument: [name for name in row.denial.undeclared if name in known]
            for argument, known in words.items()
        }
        return row.short, ", ".join(
            f"{argument}={_literal(names)}" for argument, names in undeclared.items() if names
        )
    return None


def _advice_on_asking(rows: Sequence[MatrixRow]) -> tuple[str, str] | None:
    """Return a step that asks only because of undeclared words, and what it has to declare."""
    for row in rows:
        if row.asked and all(row.step.word(ACTION, name) == UNKNOWN for name in row.asked):
            return row.short, f"forbids={_literal(row.asked)}"
    return None


def _questions(visit: Visit, subject: Subject) -> AskedSteps | None:
    """Return the questions of the period; None if the agent neither asks nor asked."""
    since_us = subject.period.since_us
    questions = visit.api.read(lambda ctx: asked_steps(ctx, subject.id, since_us))
    asks = subject.declared.own is not None and subject.declared.own.asks
    return questions if asks or questions.steps or questions.waiting else None


def _beyond(visit: Visit, subject: Subject) -> Mapping[str, int]:
    """Return in how many runs a step was denied because of each limit."""
    own = subject.declared.own
    if own is None or not own.numbers:
        return {}
    since_us = subject.period.since_us
    runs = visit.api.read(lambda ctx: runs_beyond(ctx.tx, scope_in(ctx, subject.id), since_us))
    beyond: Counter[str] = Counter()
    for (agent, name), number in runs.items():
        if is_named(own, agent):
            beyond[name] += number
    return beyond


def _literal(names: Sequence[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return quoted if len(names) == 1 else f"({quoted})"
