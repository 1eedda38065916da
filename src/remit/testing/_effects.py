"""Assertions on effects: what the steps of recorded runs did, by the words of their declarations.

Each function returns the message of a failed assertion, "" if the assertion holds. A step *does* a
word that its declaration allows or includes, does not do one that it disallows or excludes, and
leaves every other word undeclared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final, Generic, Protocol, Self, TypeVar

from msgspec import Struct

from remit._base.text import choices, describe_value, did_you_mean
from remit._declare.inference import Side, effective
from remit._declare.registry import UNKNOWN_FILE, SpanType
from remit._policy.words import (
    ACTIONS,
    CATEGORIES,
    MEMBERS,
    UNKNOWN,
    WITHOUT_EFFECT,
    Words,
    declared_words,
)
from remit._record.spans import SpanRecorder
from remit.errors import UsageError, listed
from remit.models.data_risk import DataRisk

RESULT: Final = (Side.RESULT.part,)
ALL_PARTS: Final = tuple(MEMBERS)
_DONE: Final = {"allowed", "included"}
_VERBS: Final = {"action_profile": "allows", Side.PARAMS.part: "takes", Side.RESULT.part: "gives"}
"""By part of a data risk, the argument of `remit.risk` that includes a word in it."""


@dataclass(frozen=True, eq=False)
class Step:
    """A span type or a block, as far as assertions on effects need it.

    Attributes:
        place: File and line of its declaration; of a block, of the code that entered it.
        find_risk: Returns its data risk, as the policy compares it.
        has_effect: False for a model, agent or retriever of an adapter.
    """

    name: str
    place: str = ""
    find_risk: Callable[[], DataRisk | None] = lambda: None
    has_effect: bool = True

    @classmethod
    def of_recorder(cls, recorder: SpanRecorder) -> Self:
        """Return the step of an open span; of a block, while it is being entered."""
        has_effect = recorder.kind not in WITHOUT_EFFECT
        return cls(recorder.name, recorder.place, recorder.find_risk, has_effect)

    @classmethod
    def of_type(cls, span_type: SpanType) -> Self:
        """Return the step of a declaration."""
        has_effect = span_type.step_kind not in WITHOUT_EFFECT
        return cls(span_type.name, span_type.place, partial(effective, span_type), has_effect)

    def does(self, word: str, parts: Iterable[str] = ALL_PARTS) -> bool | None:
        """Return whether the step does *word* in one of *parts*; None if it is undeclared."""
        said = set(self._said(word, parts).values())
        if said & _DONE:
            return True
        return None if self.has_effect and UNKNOWN in said else False

    def _said(self, word: str, parts: Iterable[str]) -> dict[str, str]:
        named = (part for part in parts if word in MEMBERS[part])
        return {part: str(self._words[part].get(word, UNKNOWN)) for part in named}

    @cached_property
    def _words(self) -> Words:
        return declared_words(self.find_risk())

    def clause(self, words: Sequence[str], parts: Iterable[str] = ALL_PARTS) -> str:
        """Return what the step declares of *words*, which are alike: `allows read_data`."""
        if not self.does(words[0], parts):
            return f"does not declare {listed(words)}"
        said = self._said(words[0], parts)
        verbs = [_VERBS[part] for part, word in said.items() if word in _DONE]
        return f"{' and '.join(verbs)} {listed(words)}"

    def __str__(self) -> str:
        known = self.place and not self.place.startswith(UNKNOWN_FILE)
        return f"{self.name} ({self.place})" if known else self.name


class StepSpan(Protocol):
    """A recorded span of a step."""

    started_ns: int
    run_key: str

    @property
    def step(self) -> Step:
        """Its declaration."""
        ...

    @property
    def denied(self) -> bool:
        """Whether it was denied."""
        ...


S = TypeVar("S", bound=StepSpan)


class History(Struct, Generic[S], frozen=True):
    """Recorded spans.

    Attributes:
        spans: The spans of steps, without those of agents.
        trees: By key of a run, a text that is equal for joined runs.
    """

    spans: Sequence[S]
    registered: Sequence[Step]
    trees: Mapping[str, str]

    @property
    def done(self) -> list[S]:
        """The spans that were not denied."""
        return [span for span in self.spans if not span.denied]


def check_word(method: str, word: object, words: Collection[str], expected: str) -> None:
    """Check that *word* is one of *words*, the words for *method*.

    Raises:
        UsageError: It is another one.
    """
    __tracebackhide__ = True
    if not (isinstance(word, str) and word in words):
        misspelt = isinstance(word, str) and word not in {*ACTIONS, *CATEGORIES}
        hint = did_you_mean(word, words) if misspelt else ""
        raise UsageError(
            f"{method}() got {describe_value(word)}, which is not {expected}{hint}; expected "
            f"{choices(words)}"
        )


def effects_failure(word: str, history: History[S]) -> str:
    """Return why the spans that did *word* may be more than the declarations say."""
    return _undecided(f"effects({word!r})", word, history)


def never_failure(word: str, history: History[S]) -> str:
    """Return why it is not proved that no step did *word*."""
    call = f"never({word!r})"
    steps = [span.step for span in history.done]
    did = [f"{step} {step.clause([word])}" for step in steps if step.does(word)]
    if did:
        return f"violated: {call}, but it was done:{_lines(did)}"
    return (
        _undecided(call, word, history)
        or _nothing_ran(call, history)
        or _nothing_can(call, word, history)
    )


def at_most_failure(word: str, times: int, history: History[S]) -> str:
    """Return why it is not proved that at most *times* steps of each run did *word*."""
    call = f"at_most({word!r}, {times})"
    did: dict[str, list[str]] = {}
    for span in history.done:
        if span.step.does(word):
            clauses = did.setdefault(history.trees[span.run_key], [])
            clauses.append(f"{span.step} {span.step.clause([word])}")
    for clauses in did.values():
        if len(clauses) > times:
            return f"violated: {call}, but {len(clauses)} steps of one run did it:{_lines(clauses)}"
    return (
        _undecided(call, word, history)
        or _nothing_ran(call, history)
        or _nothing_can(call, word, history)
    )


def only_failure(actions: Collection[str], history: History[S]) -> str:
    """Return why it is not proved that no step took another action than *actions*."""
    call = f"only({', '.join(map(repr, actions))})"
    did, unclear = (_others(actions, history, does=does) for does in (True, None))
    if did:
        return f"violated: {call}, but more was done:{_lines(did)}"
    if unclear:
        return (
            f"undecided: {call}, but steps that ran do not declare whether they do more:"
            f"{_lines(unclear)}\nWrite forbids='others' in the data_risk of a step that does "
            "nothing but what it allows"
        )
    return _nothing_ran(call, history)


def _others(actions: Collection[str], history: History[S], *, does: bool | None) -> list[str]:
    """Return a clause for each span whose step takes, or may take, other actions."""
    others = [action for action in ACTIONS if action not in actions]
    steps = [span.step for span in history.done]
    words = [[word for word in others if step.does(word) is does] for step in steps]
    return [f"{step} {step.clause(of)}" for step, of in zip(steps, words, strict=True) if of]


def flow_failure(category: str, to: str, history: History[S]) -> str:
    """Return why it is not proved that no step did *to* after one that gave *category*.

    A step with an undeclared word counts as if it did.
    """
    call = f"no_flow({category!r}, to={to!r})"
    sources: dict[str, dict[Step, None]] = {}
    flows: list[str] = []
    undeclared: dict[str, None] = {}
    for span in sorted(history.done, key=lambda span: span.started_ns):
        step, before = span.step, sources.setdefault(history.trees[span.run_key], {})
        does, gives = step.does(to), step.does(category, RESULT)
        if before and does is not False:
            declared = (each for each in before if each.does(category, RESULT))
            source = next(declared, next(iter(before)))
            given = source.clause([category], RESULT)
            flows.append(f"{step} {step.clause([to])} and began after {source}, which {given}")
            undeclared |= {} if does else {to: None}
            undeclared |= {} if source.does(category, RESULT) else {category: None}
        if gives is not False:
            before[step] = None
    if flows:
        advice = "\n".join(map(_advice, undeclared))
        note = f"\nAn undeclared word counts as done.\n{advice}" if advice else ""
        return f"violated: {call}, but it may have flowed:{_lines(flows)}{note}"
    if failure := _nothing_ran(call, history):
        return failure
    if not any(sources.values()):
        return (
            f"vacuous: {call}, but no step that ran gives {category}, so the assertion cannot "
            f"fail. Let the agent call one; it declares gives={category!r}"
        )
    return _nothing_can(call, to, history)


def _undecided(call: str, word: str, history: History[S]) -> str:
    steps = [span.step for span in history.done]
    unclear = [f"{step} {step.clause([word])}" for step in steps if step.does(word) is None]
    if not unclear:
        return ""
    lines = f"{_lines(unclear)}\n{_advice(word)}"
    return f"undecided: {call}, but steps that ran do not declare it:{lines}"


def _nothing_ran(call: str, history: History[S]) -> str:
    if history.spans:
        return ""
    return (
        f"vacuous: {call}, but no step ran, so the assertion cannot fail. Let the test call the "
        "agent, and the agent its steps"
    )


def _nothing_can(call: str, word: str, history: History[S]) -> str:
    steps = (*history.registered, *(span.step for span in history.spans))
    if any(step.does(word) is not False for step in steps):
        return ""
    return (
        f"vacuous: {call}, but every step of the agents that ran declares that it never does this, "
        f"so the assertion cannot fail. Remove it, or write {_including(word)} on the step that is "
        "meant"
    )


def _including(word: str) -> str:
    """Return the arguments of `remit.risk` that include *word*."""
    return f"allows={word!r}" if word in ACTIONS else f"takes= or gives={word!r}"


def _advice(word: str) -> str:
    excluding, has = ("forbids", "does") if word in ACTIONS else ("excludes", "holds")
    return (
        f"Write {excluding}={word!r} or {excluding}='others' in the data_risk of a step that never "
        f"{has} it, {_including(word)} if it {has} it"
    )


def _lines(clauses: Iterable[str]) -> str:
    """Return a line for each different clause, with the number of its calls."""
    return "".join(
        f"\n  {clause}" + (f" ({count} calls)" if count > 1 else "")
        for clause, count in Counter(clauses).items()
    )
