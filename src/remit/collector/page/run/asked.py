"""The questions that a run asked a person, and their answers.

A question is a span `remit:asked`, and its answer a span `remit:answered` with the same ticket.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, cast

from remit.collector.domain.asks import APPROVED, REFUSED
from remit.collector.page import formats
from remit.collector.page.run.spans import ListedSpan

SHAPES: Final[Mapping[str, str]] = {
    "waiting": "waiting",
    APPROVED: APPROVED,
    "answered": APPROVED,
    REFUSED: REFUSED,
    "expired": "expired",
    "denied": "denied",
}
"""The sign of each status of a question; another one has that of a cancelled step."""
_MOST_CHARS: Final = 80


class Answer(NamedTuple):
    """An answer, or how a question ended without one.

    Attributes:
        decision: `approved`, `refused`, `expired`, `superseded` or `withdrawn`; empty if a
            framework asked, whose answers may be any value.
        as_claimed: Whether only the program says who answered.
    """

    span_id: str
    at_us: int | None
    decision: str
    by: str | None
    as_claimed: bool
    why: str | None
    value: object


class Question(NamedTuple):
    """A question to a person.

    Attributes:
        step: The name of the type of the step that was asked about; empty if a framework asked.
        how: The means by which it was asked, such as `approver` or `interrupt`.
        ticket: Its id within the run; None if its payload has none.
        is_open: Whether it has no answer, and its run waits for one.
    """

    span_id: str
    parent_id: str | None
    step: str
    how: str
    ticket: str | None
    words: Sequence[str]
    at_us: int | None
    answer: Answer | None
    is_open: bool

    @property
    def status(self) -> str:
        """`waiting`, how it was answered, or how it ended without an answer."""
        if self.answer is None:
            return "waiting" if self.is_open else "no answer"
        decision = self.answer.decision
        if decision == REFUSED and self.answer.by is None:
            return "denied"
        return {"": "answered", "superseded": "asked again"}.get(decision, decision)

    @property
    def shape(self) -> str:
        """The sign of its status."""
        return SHAPES.get(self.status, "cancelled")

    @property
    def has_answer(self) -> bool:
        """Whether a person, or a framework for one, answered."""
        return self.shape in {APPROVED, REFUSED}

    @property
    def subject(self) -> str:
        """What it is about, in a word: the step, else the means by which it was asked."""
        return formats.step(self.step) if self.step else self.how

    def let_run(self, schema_name: str, parent_id: str | None, started_us: int | None) -> bool:
        """Return whether a step with this type, parent and start ran after a yes to it.

        The caller leaves out steps that were denied.
        """
        yes_us = None if self.answer is None or self.status != APPROVED else self.answer.at_us
        return (
            yes_us is not None
            and started_us is not None
            and started_us >= yes_us
            and (schema_name, parent_id) == (self.step, self.parent_id)
        )

    @property
    def waited_us(self) -> int | None:
        """The time until its answer; None if that is not known."""
        answered = None if self.answer is None else self.answer.at_us
        if answered is None or self.at_us is None:
            return None
        return max(0, answered - self.at_us)


def questions_of(
    asked: Iterable[ListedSpan], answered: Iterable[ListedSpan], *, waits: bool = False
) -> list[Question]:
    """Return questions of a run, the oldest first.

    Args:
        asked: Spans `remit:asked`, and *answered* those of answers.
        waits: Whether the run waits for an answer; questions without one are open then.
    """
    asked = sorted(asked, key=_began)
    answers = _joined(asked, sorted(answered, key=_began))
    return [_question(span, answers.get(span.id), waits=waits) for span in asked]


def waited(questions: Iterable[Question], until_us: int) -> int:
    """Return how long a run waited for people, in microseconds.

    Args:
        until_us: The end of questions that are open.
    """
    total = last = 0
    for question in questions:
        if question.at_us is None or question.status == "no answer":
            continue
        end_us = until_us if question.is_open else question.at_us + (question.waited_us or 0)
        total += max(0, end_us - max(last, question.at_us))
        last = max(last, end_us)
    return total


def _joined(asked: Sequence[ListedSpan], answered: Sequence[ListedSpan]) -> dict[str, ListedSpan]:
    """Return the answers by the ids of their questions.

    An answer without a ticket belongs to the only question that is open.
    """
    by_ticket = {
        ticket: span.id for span in asked if isinstance(ticket := span.payload.get("ticket"), str)
    }
    answers: dict[str, ListedSpan] = {}
    for span in answered:
        ticket = span.payload.get("ticket")
        question = by_ticket.get(ticket) if isinstance(ticket, str) else None
        if ticket is None:
            before = (each for each in asked if _began(each) <= _began(span))
            question = next((each.id for each in before if each.id not in answers), None)
        if question is not None:
            answers.setdefault(question, span)
    return answers


def _began(span: ListedSpan) -> tuple[int, str]:
    return span.started_at or 0, span.id


def _question(span: ListedSpan, answer: ListedSpan | None, *, waits: bool) -> Question:
    found: object = span.payload.get("words")
    words = cast("list[object]", found) if isinstance(found, list) else []
    return Question(
        span.id,
        span.parent_id,
        _text(span, "step") or "",
        _text(span, "how") or "",
        _text(span, "ticket"),
        [word for word in words if isinstance(word, str)],
        span.started_at,
        None if answer is None else _answer(answer),
        is_open=waits and answer is None,
    )


def _answer(span: ListedSpan) -> Answer:
    return Answer(
        span.id,
        span.started_at,
        _text(span, "decision") or "",
        _text(span, "by"),
        as_claimed=span.payload.get("as_claimed") is not False,
        why=_text(span, "why"),
        value=span.payload.get("answer"),
    )


def _text(span: ListedSpan, name: str) -> str | None:
    value = span.payload.get(name)
    return value[: _MOST_CHARS * 10] if isinstance(value, str) and value else None
