"""The panel of a step: its failure or denial, its payloads, its frames, its declaration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from remit._base.first_failure import PROCESS_ENDED
from remit._base.step_names import AGENT, GRAPH, NODE, StepName
from remit._policy.violations import denied_by
from remit.collector.domain.states import CANCELLED
from remit.collector.page import formats
from remit.collector.page.hiding import OPENED, Hidden
from remit.collector.page.payload_tree import (
    Node,
    PayloadTree,
    node_of,
    objects,
    tree_of,
)
from remit.collector.page.run.asked_panel import AskedPanel, asked_panel
from remit.collector.page.run.facts import FAILED, SpanFacts, us_after
from remit.collector.page.sides import (
    Sides,
    held_in,
    held_reason,
    limit_of,
    of_one_agent,
    reason_of,
    sides_of,
    to_model,
)
from remit.collector.store.rows import SpanRow
from remit.collector.store.subjects import ROOT_SPAN, subject_hash
from remit.errors import Violation

_RELATIONS: Final = {
    "cause": "directly caused by",
    "context": "raised while handling",
}
_MOST_LIBRARIES: Final = 3


class Cause(NamedTuple):
    """An exception of a chain.

    Attributes:
        how: Its relation to the one before; empty for the first.
        hidden: Whether its message is shown only on request.
    """

    how: str
    type: Node
    message: Node | None
    at: Node | None
    hidden: bool


class Frame(NamedTuple):
    """A frame of a traceback."""

    file: Node
    line: object
    function: Node


class Frames(NamedTuple):
    """The frames of a failure.

    Attributes:
        own: Those of the program, the innermost first.
        named: The packages of the others, in words.
    """

    own: Sequence[Frame]
    libraries: Sequence[Frame]
    named: str
    kept: int
    total: int


class Member(NamedTuple):
    """A member of a group of exceptions: when its step ended, the step, its name, the exception."""

    after_us: int | None
    step: SpanRow | None
    name: str
    here: bool
    cause: Cause


class FailedGroup(NamedTuple):
    """The group of exceptions in which a step failed.

    Attributes:
        members: Its members, in the order in which their steps ended.
    """

    cause: Cause
    members: Sequence[Member]
    total: int
    step: str
    cancelled: str


class Denial(NamedTuple):
    """Why a step was denied.

    Attributes:
        agent: Identifier of the agent that forbids or excludes it.
        reason: The sentence; empty if the violations say it themselves.
        held: The violation that a hold made; None without a hold.
        by: `a limit` or `a hold`; empty if its declarations deny it.
        message: The message to the model; None if it is hidden, or there is none.
    """

    agent: str
    reason: str
    sides: Sides
    violations: Sequence[Violation]
    held: Violation | None
    by: str
    message: str | None


class Panel(NamedTuple):
    """What the panel of a step shows."""

    facts: SpanFacts
    name: StepName
    status: str
    took_us: int | None
    after_us: int | None
    handled: bool
    process_ended: bool
    chain: Sequence[Cause]
    group: FailedGroup | None
    denial: Denial | None
    received: PayloadTree | None
    returned: PayloadTree | None
    stream: str
    frames: Frames | None
    differences: Sequence[str]
    erased: bool
    hidden: bool
    opened: bool
    is_root: bool
    asked: AskedPanel | None = None

    @property
    def subject(self) -> str | None:
        """The hash of the subject that the root of a run names; None if it names none."""
        return subject_hash(self.facts.span.payload) if self.is_root else None

    @property
    def where(self) -> Sequence[StepName]:
        """The graphs, agents and nodes around a failed step, the outermost first.

        Empty if none of them is a graph or a node.
        """
        names = [self.facts.name(each) for each in reversed(self.facts.ancestors)]
        of_graph = any(name.word in {GRAPH, NODE} for name in names)
        return [name for name in names if of_graph and name.word in {GRAPH, AGENT, NODE}]

    def whole(self, part: str) -> str | None:
        """Return the end of the address of a whole payload; None if it is shown on request."""
        if not self.facts.hidden.part(part, self.facts.span.error):
            return f"whole?of={part}"
        return f"values/whole?of={part}" if self.opened else None


def panel_of(facts: SpanFacts, *, opened: bool, redacted: bool = False) -> Panel:
    """Return the panel of a step.

    Args:
        opened: Whether values of a confidential step are shown.
        redacted: Whether to leave out all values, and the messages of exceptions.
    """
    span, row = facts.span, facts.span.row
    payload, result = span.payload, span.result
    error: Mapping[str, object] = span.error if row.status in {FAILED, CANCELLED} else {}
    hides = OPENED if opened else facts.hidden
    hidden = redacted or hides.values
    erased = facts.run.erased_at is not None
    process_ended = error.get("type") == PROCESS_ENDED
    rest = {name: value for name, value in result.items() if name != "error" or not error}
    is_root = row.schema_name == ROOT_SPAN
    if is_root:
        # A run that was started or ended without some values.
        payload, rest = _without_none(payload), _without_none(rest)
    violations = denied_by(result) if error else None
    message = None if redacted or hides.message(error) else error.get("message")
    denial = None if violations is None else _denial(facts, violations, message)
    has_causes = bool(error) and not process_ended and denial is None
    parent = facts.ancestors[0].row if facts.ancestors else None
    return Panel(
        facts=facts,
        name=facts.name(span),
        status="denied" if denial is not None else row.status,
        took_us=_took(row),
        after_us=us_after(facts.run, row.started_at),
        handled=row.status == FAILED and parent is not None and parent.status == "complete",
        process_ended=process_ended,
        chain=list(_chain(error, hidden=redacted or hides.message(error))) if has_causes else (),
        group=_group(facts, hides) if has_causes and not hidden else None,
        denial=denial,
        received=None if hidden or erased else tree_of(payload),
        returned=None if hidden or erased or not rest else tree_of(rest),
        stream=_stream(result),
        frames=_frames(facts) if has_causes else None,
        differences=() if hidden else facts.differences,
        erased=erased,
        hidden=hidden,
        opened=opened,
        is_root=is_root,
        asked=None if erased else asked_panel(facts, hidden=hidden),
    )


def _without_none(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _took(row: SpanRow) -> int | None:
    if row.started_at is None or row.finished_at is None:
        return None
    return row.finished_at - row.started_at


def _stream(result: Mapping[str, object]) -> str:
    """Return how many items a stream had, in words; empty for no stream."""
    count, first = result.get("count"), result.get("first_item_ms")
    if "items" not in result or not isinstance(count, int):
        return ""
    items = "1 item" if count == 1 else f"{count:,} items"
    if not isinstance(first, int | float):
        return items
    return f"{items}, the first after {formats.duration(round(first * formats.US_PER_MS))}"


# Failures


def _chain(error: Mapping[str, object], *, hidden: bool) -> Iterable[Cause]:
    yield _cause(error, "", hidden=hidden)
    for cause in objects(error.get("causes")):
        how = _RELATIONS.get(str(cause.get("relation")), "with")
        yield _cause(cause, how, hidden=hidden)


def _cause(error: Mapping[str, object], how: str, *, hidden: bool) -> Cause:
    message, at = error.get("message"), error.get("at")
    return Cause(
        how,
        node_of(error.get("type") or "failed"),
        None if hidden or not message else node_of(message),
        None if at is None else node_of(at),
        hidden,
    )


def _frames(facts: SpanFacts) -> Frames | None:
    """Return the frames of a failure, as far out as the steps around this one recorded it."""
    error = outermost = facts.span.error
    for span in facts.ancestors:
        if not _is_same(span.error, error):
            break
        outermost = span.error
    recorded = objects(outermost.get("frames")) or objects(error.get("frames"))
    frames = [frame for frame in recorded if "file" in frame]
    if not frames:
        return None
    missing = next((frame.get("of") for frame in recorded if "of" in frame), None)
    homes = _homes(facts, error)
    own = [frame for frame in frames if _package(frame) in homes]
    libraries = [frame for frame in frames if _package(frame) not in homes]
    packages = [name for name, _ in Counter(map(_package, libraries)).most_common()]
    more = len(packages) - _MOST_LIBRARIES
    named = [*packages[:_MOST_LIBRARIES], *([f"{more} others"] if more > 0 else [])]
    return Frames(
        [_frame(frame) for frame in own],
        [_frame(frame) for frame in libraries],
        formats.listed(named),
        len(frames),
        missing if isinstance(missing, int) else len(frames),
    )


def _frame(frame: Mapping[str, object]) -> Frame:
    return Frame(node_of(frame.get("file")), frame.get("line"), node_of(frame.get("function")))


def _package(frame: Mapping[str, object]) -> str:
    file = frame.get("file")
    return _top(file) if isinstance(file, str) else ""


def _homes(facts: SpanFacts, error: Mapping[str, object]) -> frozenset[str]:
    """Return the packages of the program: those of its steps, and where the exception was raised.

    The place of a failure is in the program's own code, if any frame is.
    """
    modules = {
        _top(name.partition(":")[0].replace(".", "/")) for name in facts.types if ":" in name
    }
    raised = [error, *objects(error.get("causes"))]
    places = {
        _top(at.partition(":")[0]) for cause in raised if isinstance(at := cause.get("at"), str)
    }
    return frozenset((modules | places) - {"remit"})


def _top(path: str) -> str:
    return path.partition("/")[0].removesuffix(".py")


def _is_same(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Return whether both are one failure, as nested steps record it."""
    return bool(one) and all(one.get(key) == other.get(key) for key in ("type", "at"))


def _group(facts: SpanFacts, hidden: Hidden) -> FailedGroup | None:
    """Return the group in which the step failed, or that ended it."""
    around = (span for span in (facts.span, *facts.ancestors) if "members" in span.error)
    raiser = next(around, facts.span)
    group = raiser.error
    listed = objects(group.get("members"))
    if not listed:
        return None
    hides = hidden.errors.has(group)
    free = [span for span in facts.failed if "members" not in span.error]
    group_members: list[Member] = []
    for member in listed:
        alike = [span for span in free if _is_same(span.error, member)]
        last = max(alike, key=lambda span: span.row.started_at or 0, default=None)
        row = None if last is None else last.row
        taken = [span for span in alike if row and span.row.finished_at == row.finished_at]
        free = [span for span in free if span not in taken]
        after = None if row is None else us_after(facts.run, row.finished_at)
        here = row is not None and row.id == facts.span.row.id
        name = "" if last is None else facts.name(last).text
        group_members.append(Member(after, row, name, here, _cause(member, "", hidden=hides)))
    count = group.get("of")
    cancelled = [
        facts.name(span).text
        for span in facts.cancelled
        if span.row.parent_span_id == raiser.row.id
    ]
    return FailedGroup(
        _cause(group, "", hidden=hides),
        sorted(
            group_members,
            key=lambda member: member.after_us if member.after_us is not None else 2**62,
        ),
        count if isinstance(count, int) else len(listed),
        facts.name(raiser).text,
        formats.listed(cancelled[:_MOST_LIBRARIES]),
    )


# Denials


def _denial(facts: SpanFacts, violations: Sequence[Violation], message: object) -> Denial:
    named = of_one_agent(violations)
    agent = named[0].agent if named else ""
    # The project precedes the name.
    remit = facts.types.get(agent) or facts.types.get(agent.rpartition("/")[2])
    held = held_in(violations)
    reason = " ".join(filter(None, (held_reason(violations), reason_of(named))))
    sides = sides_of(facts.declared, remit, named)
    by = "a hold" if held else "a limit" if limit_of(violations) is not None else ""
    told = to_model(message) if isinstance(message, str) and message else None
    return Denial(agent, reason, sides, violations, held[0] if held else None, by, told)
