"""Draws the steps of a run as a tree, for the commands and for the `repr` of recorded runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf
from typing import Final, Generic, Protocol, TypeVar, cast

from remit._base.first_failure import failed_span, first_failed, raised
from remit._base.markers import is_marker, is_unregistered
from remit._base.outcomes import SUSPENDED, suspended_steps
from remit._base.step_names import is_of_adapter, step_name
from remit._base.text import (
    ELLIPSIS,
    cut,
    duration,
    milliseconds,
    number_of,
    padded,
    printable,
    width,
)
from remit._capture.short import (
    described,
    error_in,
    members,
    named,
    place_of,
    row,
    short,
    whole,
)
from remit._policy.violations import split_violations

STATUS_COLUMNS: Final = 10
TIME_COLUMNS: Final = 12
SIDE_COLUMNS: Final = STATUS_COLUMNS + 2 * TIME_COLUMNS + 2
MAX_LEVELS: Final = 8
"""Deeper ones are moved to the left: a tree that leaves the screen shows nothing."""
MAX_NAME_COLUMNS: Final = 48
MIN_VALUE_COLUMNS: Final = 16
STREAM: Final = {"count", "items"}
NOTHING: Final = {"result": None}
FAINT: Final = "faint"
INPUTS: Final = "inputs"

_RELATIONS: Final = {"cause": "caused by", "context": "while handling"}
"""By the relation of a cause; a member of a group has none."""


class Step(Protocol):
    """A span, with the names of the API's model."""

    @property
    def id(self) -> str:
        """Its id or key."""
        ...

    @property
    def parent_span_id(self) -> str | None:
        """That of its parent."""
        ...

    @property
    def schema_name(self) -> str:
        """Its type."""
        ...

    @property
    def status(self) -> str:
        """How it ended."""
        ...

    @property
    def started_at(self) -> datetime | None:
        """When it began."""
        ...

    @property
    def finished_at(self) -> datetime | None:
        """When it ended."""
        ...

    @property
    def payload(self) -> dict[str, object] | None:
        """Its arguments."""
        ...

    @property
    def result_payload(self) -> dict[str, object] | None:
        """Its result."""
        ...

    @property
    def schema_errors(self) -> Sequence[str] | None:
        """How it differs from its declaration."""
        ...


S = TypeVar("S", bound=Step)


@dataclass(frozen=True, slots=True)
class Lines:
    """The strokes of a tree.

    Attributes:
        fork: Before a child that has siblings after it.
        last: Before the last child.
        pipe: Next to the children of a span that has siblings after it.
        arrow: Before a result.
        cross: Before an error.
        cut: Where something was left out.
        dot: Between two facts.
    """

    fork: str = "├─ "
    last: str = "└─ "
    pipe: str = "│  "
    arrow: str = "→"
    cross: str = "✗"
    cut: str = ELLIPSIS
    dot: str = "·"


@dataclass(frozen=True, slots=True)
class Placed(Generic[S]):
    """A span in its tree.

    Attributes:
        follows: For each level from the second down to its own, whether a sibling follows there.
        parents: Whether there are spans below it.
    """

    span: S
    follows: tuple[bool, ...]
    parents: bool


@dataclass(frozen=True, slots=True)
class Detail:
    """A line below a span.

    Attributes:
        style: Style of the sign: a status, or none.
    """

    text: str
    sign: str = ""
    style: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a tree is drawn.

    Attributes:
        paint: Applies a style to a text: a status or `faint`.
        full: Whether values and messages are whole, and all frames of the first failure are shown.
    """

    strokes: Lines = Lines()
    columns: int = 100
    paint: Callable[[str, str], str] = lambda _style, text: text
    full: bool = False

    def tree(
        self,
        steps: Sequence[Step],
        around: Sequence[Step],
        first: str | None,
        begin: datetime | None,
        home: str,
        depth: int | None = None,
    ) -> Iterator[str]:
        """Yield the lines of a tree, which is walked twice, because it may be long.

        Args:
            steps: The spans, in the order of their starts.
            around: These with the root span.
            first: Id of the one that failed first.
            home: The beginning of names that is left out.
            depth: How many levels are shown; None for all.
        """
        names = (self._name(each, home) for each, _ in _upper(steps, depth))
        widest = max((width(f"{name}{word}") for name, word in names), default=0)
        room = min(MAX_NAME_COLUMNS, self.columns - SIDE_COLUMNS, widest)
        statuses = statuses_of(around)
        for each, hidden in _upper(steps, depth):
            status = statuses[each.span.id]
            yield self._first_line(each.span, status, *self._name(each, home), room, begin)
            margin = self._margin(each)
            most = max(MIN_VALUE_COLUMNS, self.columns - len(margin))
            details = [*self._details(each.span)]
            if each.span.id == first:
                details += self.failure(each.span, around)
            if hidden:
                details.append(Detail(f"{number_of(hidden, 'step')} below"))
            for detail in details:
                yield self.paint(FAINT, margin) + self.line(detail, most)

    def line(self, detail: Detail, most: int) -> str:
        """Return a line in at most *most* columns, or whole."""
        room = most - len(detail.sign)
        text = detail.text if self.full else cut(detail.text, room, self.strokes.cut)
        return (self.paint(detail.style, detail.sign) if detail.style else detail.sign) + text

    def block_failure(self, root: Step | None, steps: Sequence[Step]) -> Iterator[Detail]:
        """Yield the lines on the error in the block of a run, which none of its *steps* has."""
        error = None if root is None or root.status != "failed" else error_in(root.result_payload)
        if root is None or error is None:
            return
        failed = (span for span in steps if span.status == "failed")
        if not any(_is_same(error, error_in(span.result_payload)) for span in failed):
            yield self._error(error)
            yield from self.failure(root, ())

    def failure(self, span: Step, around: Iterable[Step]) -> Iterator[Detail]:
        """Yield the lines that say where a span failed, and what caused it."""
        error = error_in(span.result_payload) or {}
        if place := place_of(error):
            yield Detail(f"at {place}", "  ")
        shown = _objects(error.get("members"))
        for other in (*_objects(error.get("causes")), *shown):
            relation = _RELATIONS.get(str(other.get("relation")), "member")
            yield Detail(f"{relation} {described(other, self._form)}", "  ")
            if place := place_of(other):
                yield Detail(f"at {place}", "    ")
        count = error.get("of")
        if isinstance(count, int) and count > len(shown):
            yield Detail(f"and {number_of(count - len(shown), 'more member')}", "  ")
        frames = list(_frames(span, around, error)) if self.full else []
        if frames:
            yield Detail("frames, the innermost first:", "  ")
            yield from (Detail(frame, "    ") for frame in frames)

    def _form(self, value: object) -> str:
        return whole(value) if self.full else short(value)

    def _error(self, error: Mapping[str, object]) -> Detail:
        return Detail(described(error, self._form), f"{self.strokes.cross} ", "failed")

    def _name(self, placed: Placed[Step], home: str) -> tuple[str, str]:
        """Return the name of a row, and what is said about it after the name."""
        name, word = _named(placed.span, home)
        tokens = _tokens(placed.span.result_payload) if word else None
        words = [word, *([] if tokens is None else [number_of(tokens, "token")])]
        about = f" {f' {self.strokes.dot} '.join(words)}" if word else ""
        return self._prefix(placed) + name, about

    def _prefix(self, placed: Placed[Step]) -> str:
        if not placed.follows:
            return ""
        stroke = self.strokes.fork if placed.follows[-1] else self.strokes.last
        return self._pipes(placed.follows[:-1]) + stroke

    def _margin(self, placed: Placed[Step]) -> str:
        stem = self.strokes.pipe if placed.parents else "   "
        return f"{self._pipes(placed.follows)}{stem}  "

    def _pipes(self, follows: tuple[bool, ...]) -> str:
        pipe = self.strokes.pipe
        left_out = len(follows) - MAX_LEVELS
        shown = "".join(pipe if more else " " * len(pipe) for more in follows[-MAX_LEVELS:])
        return f"{self.strokes.cut}{left_out} {shown}" if left_out > 0 else shown

    def _first_line(
        self, span: Step, status: str, name: str, about: str, room: int, begin: datetime | None
    ) -> str:
        after = took(begin, span.started_at)
        shown = cut(name + about, room, self.strokes.cut)
        end = len(name) if shown.startswith(name) else len(shown)
        return (
            shown[:end]
            + (self.paint(FAINT, shown[end:]) if shown[end:] else "")
            + padded("", room - width(shown))
            + "  "
            + self.paint(status, f"{status:<{STATUS_COLUMNS}}")
            + self.paint(FAINT, f"{after and '+' + after:>{TIME_COLUMNS}}")
            + f"{took(span.started_at, span.finished_at):>{TIME_COLUMNS}}"
        ).rstrip()

    def _details(self, span: Step) -> Iterator[Detail]:
        given, violations = split_violations(span.payload or {})
        if INPUTS in given and is_of_adapter(span.schema_name):
            given = {INPUTS: given[INPUTS], **given}
        if self.full and not is_marker(given):
            yield from (Detail(f"{named(name)}={whole(value)}") for name, value in given.items())
        elif given:
            yield Detail(whole(given) if self.full else members(given))
        if is_unregistered(span.payload or {}):
            text = "not in the agent's registration (span_types=)"
            yield Detail(text, "! ", "cancelled")
        for wrong in span.schema_errors or ():
            yield Detail(f"not as declared: {printable(wrong)}", "! ", "cancelled")
        cross = f"{self.strokes.cross} "
        for violation in violations:
            yield Detail(f"violates the remit: {printable(violation.sentence)}", cross, "failed")
        result = span.result_payload
        error = error_in(result) if span.status == "failed" else None
        if error is not None:
            yield self._error(error)
        elif result and result != NOTHING:
            text = whole(result) if self.full else _result(result)
            yield Detail(text, f"{self.strokes.arrow} ")


def statuses_of(spans: Sequence[Step]) -> dict[str, str]:
    """Return the status of each span of a run as shown, including `suspended`, by its id."""
    statuses = {span.id: span.status for span in spans}
    rows = ((each.id, each.parent_span_id, each.schema_name, each.status) for each in spans)
    return statuses | dict.fromkeys(suspended_steps(rows), SUSPENDED)


def took(start: datetime | None, end: datetime | None) -> str:
    """Return how long it was between the two; empty if one is not known."""
    if start is None or end is None:
        return ""
    return duration((end - start) / timedelta(seconds=1))


def name_of(span: Step, home: str) -> str:
    """Return the name of a step for people, without the module of its agent."""
    return " ".join(filter(None, _named(span, home)))


def _named(span: Step, home: str) -> tuple[str, str]:
    """Return the name of a step, and a word about it if its payload has the name."""
    name = step_name(span.schema_name, span.payload or {})
    if name is None:
        return short_name(span.schema_name, home), ""
    return printable(name.text), printable(name.word)


def _tokens(result: Mapping[str, object] | None) -> int | None:
    """Return the tokens of a model call, if they are recorded."""
    usage = (result or {}).get("token_usage")
    if not isinstance(usage, dict):
        return None
    counts = cast("dict[str, object]", usage)
    known = [
        count
        for part in ("prompt_tokens", "completion_tokens")
        if isinstance(count := counts.get(part), int)
    ]
    return sum(known) if known else None


def short_name(schema_name: str, home: str) -> str:
    """Return the name of a span type for people, without the module of its agent."""
    return printable(schema_name.removeprefix(home) or schema_name)


def in_tree(steps: Sequence[S]) -> Iterator[Placed[S]]:
    """Yield each step before those below it.

    One whose parent is not known is at the top, and so is one of a circle: clients choose the ids,
    so there can be both.
    """
    known = {span.id for span in steps}
    below: dict[str | None, list[S]] = {}
    for span in steps:
        parent = span.parent_span_id if span.parent_span_id in known else None
        below.setdefault(parent, []).append(span)
    seen: set[str] = set()
    for top in (*below.pop(None, ()), *steps):
        yield from _below(top, below, seen)


def _below(top: S, below: dict[str | None, list[S]], seen: set[str]) -> Iterator[Placed[S]]:
    """Yield *top* and everything below it, without recursion, because trees may be deep."""
    waiting: list[tuple[S, tuple[bool, ...]]] = [(top, ())]
    while waiting:
        span, follows = waiting.pop()
        if span.id in seen:
            continue
        seen.add(span.id)
        children = [child for child in below.get(span.id, ()) if child.id not in seen]
        yield Placed(span, follows, bool(children))
        for place, child in reversed(list(enumerate(children, 1))):
            waiting.append((child, (*follows, place < len(children))))


def _upper(steps: Sequence[S], depth: int | None) -> Iterator[tuple[Placed[S], int]]:
    """Yield the upper levels of a tree, each step with the number of steps left out below it."""
    last: Placed[S] | None = None
    hidden = 0
    for placed in in_tree(steps):
        if depth is not None and len(placed.follows) >= depth:
            hidden += 1
            continue
        if last is not None:
            yield replace(last, parents=last.parents and not hidden), hidden
        last, hidden = placed, 0
    if last is not None:
        yield replace(last, parents=last.parents and not hidden), hidden


def failed_branches(steps: Sequence[S]) -> list[S]:
    """Return the failed steps with the steps around them."""
    parents = {span.id: span.parent_span_id for span in steps}
    kept: set[str] = set()
    for span in steps:
        above: str | None = span.id if span.status == "failed" else None
        while above is not None and above not in kept and above in parents:
            kept.add(above)
            above = parents[above]
    return [span for span in steps if span.id in kept]


def first_failure(steps: Iterable[Step], root: Step | None) -> str | None:
    """Return the id of the step that failed first, of a run that no collector has."""
    first = first_failed(
        failed_span(
            span.id,
            span.parent_span_id,
            is_root=span is root,
            began=_seconds(span.started_at),
            ended=_seconds(span.finished_at),
            result=span.result_payload,
        )
        for span in steps
        if span.status == "failed"
    )
    return None if first is None else first.id


def _seconds(when: datetime | None) -> float:
    return inf if when is None else when.timestamp()


def _frames(span: Step, around: Iterable[Step], error: Mapping[str, object]) -> Iterator[str]:
    """Yield the frames of a failure, as far out as the spans around *span* have recorded it."""
    by_id = {each.id: each for each in around}
    frames = error.get("frames")
    parent = by_id.pop(span.parent_span_id or "", None)
    while parent is not None and _is_same(error, outer := error_in(parent.result_payload)):
        frames = (outer or {}).get("frames")
        parent = by_id.pop(parent.parent_span_id or "", None)
    for frame in _objects(frames):
        if is_marker(frame):
            yield short(frame)
        else:
            file, function = frame.get("file"), frame.get("function")
            yield f"{_plain(file)}:{frame.get('line')} in {_plain(function)}"


def _plain(name: object) -> str:
    return printable(name) if isinstance(name, str) else short(name)


def _is_same(error: Mapping[str, object], other: Mapping[str, object] | None) -> bool:
    """Return whether both are the same failure, as two nested spans record it."""
    return other is not None and raised(error) == raised(other)


def _objects(value: object) -> list[dict[str, object]]:
    """Return the objects in a list: a server returns what its clients sent."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, object]", item) for item in items if isinstance(item, dict)]


def _result(result: dict[str, object]) -> str:
    if result.keys() == {"result"}:
        return short(result["result"])
    count = result.get("count")
    if result.keys() >= STREAM and isinstance(count, int):
        first = result.get("first_item_ms")
        when = f", the first after {milliseconds(first)}" if isinstance(first, int | float) else ""
        return f"{number_of(count, 'item')}{when}: {row(result['items'])}"
    return members(result)
