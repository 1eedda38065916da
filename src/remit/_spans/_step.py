"""A declaration made ready for recording: its name, its plan of capture, its verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from remit._capture import Rules
from remit._guard import logger
from remit._policy import violations
from remit._recording import Ceiling
from remit.models.agent_instance import DataRisk


class Plan(Protocol):
    """How the values of one declaration are captured (`remit._capture.Plan`)."""

    def params(self, args: tuple[object, ...], kwargs: Mapping[str, object], rules: Rules) -> bytes:
        """Return the payload of a call as JSON bytes."""
        ...

    def result(self, value: object, rules: Rules) -> bytes:
        """Return the result of a call as JSON bytes."""
        ...

    def secrets(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> tuple[str, ...]:
        """Return the texts that `params` withholds, lest an error's message quotes one."""
        ...


class Step:
    """A declaration made ready for recording.

    Attributes:
        name: Span type.
        risk: Its declared data risk, if any.
        ceiling_of: For an agent, its identifier and declared risk: a call of it adds a ceiling.
        agents: Identifiers of the agents in whose runs it was used.
    """

    __slots__ = ("_make_plan", "_plan", "_verdicts", "agents", "ceiling_of", "name", "risk")

    def __init__(
        self,
        name: str,
        make_plan: Callable[[], Plan],
        *,
        risk: DataRisk | None = None,
        ceiling_of: tuple[str, DataRisk] | None = None,
    ) -> None:
        """Keep how to make the plan: signatures are read at the first call, not at import."""
        self.name = name
        self.risk = risk
        self.ceiling_of = ceiling_of
        self.agents: set[str] = set()
        self._make_plan = make_plan
        self._plan: Plan | None = None
        self._verdicts: dict[tuple[Ceiling, str], tuple[str, ...]] = {}

    @property
    def plan(self) -> Plan:
        """The plan of capture, made at the first use."""
        if self._plan is None:
            self._plan = self._make_plan()
        return self._plan

    def verdict(self, ceiling: Ceiling, on_violation: str) -> tuple[str, ...]:
        """Return what of this step exceeds *ceiling* or one around it, one sentence each."""
        known = self._verdicts.get((ceiling, on_violation))
        if known is None:
            known = self._judge(ceiling, strict=on_violation != "observe")
            self._verdicts[ceiling, on_violation] = known
            if known and on_violation == "observe":
                logger.warning("%s exceeds its agent's remit: %s", self.name, "; ".join(known))
        return known

    def _judge(self, ceiling: Ceiling | None, *, strict: bool) -> tuple[str, ...]:
        found: list[str] = []
        while ceiling is not None:
            found += [
                f"{ceiling.agent}: {text}"
                for text in violations(ceiling.risk, self.risk, strict=strict)
            ]
            ceiling = ceiling.outer
        return tuple(found)
