"""One run as it was recorded, and where its spans stand in its tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from remit.models.agent import Agent
from remit.models.agent_instance import AgentInstance
from remit.models.agent_span import AgentSpan

ROOT_SPAN: Final = "remit:run"


@dataclass(frozen=True, slots=True)
class Placed:
    """A span in its tree.

    Attributes:
        span: The span.
        follows: For each level from the second down to its own, whether a sibling follows there.
        parents: Whether spans stand below it.
    """

    span: AgentSpan
    follows: tuple[bool, ...]
    parents: bool


@dataclass(frozen=True, slots=True)
class Record:
    """One run.

    Attributes:
        agent: Whose run it is.
        instance: The run itself.
        spans: All its spans in the order of their starts, the root first.
    """

    agent: Agent
    instance: AgentInstance
    spans: tuple[AgentSpan, ...]

    @classmethod
    def of(cls, agent: Agent, instance: AgentInstance, spans: Iterable[AgentSpan]) -> Record:
        """Return the run with its spans in order."""
        return cls(agent, instance, tuple(sorted(spans, key=start_of)))

    @property
    def root(self) -> AgentSpan | None:
        """The span that stands for the whole run, if remit recorded it."""
        return next((span for span in self.spans if span.schema_name == ROOT_SPAN), None)

    @property
    def steps(self) -> list[AgentSpan]:
        """The spans without the root."""
        return [span for span in self.spans if span.schema_name != ROOT_SPAN]

    def tree(self) -> Iterator[Placed]:
        """Yield each step before those below it.

        One whose parent is not known stands at the top, and so does one of a circle: clients
        choose the ids, so there can be both.
        """
        steps = self.steps
        known = {span.id for span in steps}
        below: dict[str | None, list[AgentSpan]] = {}
        for span in steps:
            parent = span.parent_span_id if span.parent_span_id in known else None
            below.setdefault(parent, []).append(span)
        seen: set[str] = set()
        for top in (*below.pop(None, ()), *steps):
            yield from _below(top, below, seen)

    def as_json(self) -> dict[str, object]:
        """Return the run as the API's objects."""
        return {
            "agent": agent_json(self.agent),
            "run": self.instance.model_dump(mode="json"),
            "spans": [span.model_dump(mode="json") for span in self.spans],
        }


def called(key: str | None, run_id: str) -> str:
    """Return the word by which a run is asked for: its key, else its id.

    A key that would steer the terminal of who reads it cannot be typed either.
    """
    return key if key and key.isprintable() else run_id


def agent_json(agent: Agent) -> dict[str, object]:
    """Return what names an agent, as JSON."""
    return agent.model_dump(mode="json", include={"id", "name", "external_identifier"})


def _below(
    top: AgentSpan, below: dict[str | None, list[AgentSpan]], seen: set[str]
) -> Iterator[Placed]:
    """Yield *top* and what is below it; without recursion, for trees as deep as they come."""
    waiting: list[tuple[AgentSpan, tuple[bool, ...]]] = [(top, ())]
    while waiting:
        span, follows = waiting.pop()
        if span.id in seen:
            continue
        seen.add(span.id)
        children = [child for child in below.get(span.id, ()) if child.id not in seen]
        yield Placed(span, follows, bool(children))
        for place, child in reversed(list(enumerate(children, 1))):
            waiting.append((child, (*follows, place < len(children))))


def start_of(span: AgentSpan) -> tuple[bool, bool, datetime, str]:
    """Return what sorts spans by their starts; the root first, what has not begun last."""
    begin = span.started_at or datetime.min.replace(tzinfo=UTC)
    return (span.schema_name != ROOT_SPAN, span.started_at is None, begin, span.id)
