"""A declaration made ready for recording: its name, its plan of capture, its verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from remit import _capture
from remit._frames import caller
from remit._guard import guarded
from remit._policy import Ceiling, Ceilings, Verdict, verdict
from remit.models.data_risk import DataRisk

# Agents made in a function have a ceiling each time; beyond so many all verdicts are forgotten.
MAX_VERDICTS: Final = 64


class Plan(Protocol):
    """How the values of one declaration are captured (`remit._capture.Plan`)."""

    @property
    def error_rule(self) -> str | None:
        """The rule that withholds the message of every error, else None."""
        ...

    def params(
        self,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        rules: _capture.Rules,
        secrets: list[str] | None = None,
    ) -> bytes:
        """Return the payload of a call as JSON bytes; *secrets* collects what it withholds."""
        ...

    def result(
        self, value: object, rules: _capture.Rules, known: _capture.Known | None = None
    ) -> bytes:
        """Return the result of a call as JSON bytes, without what is *known* to be withheld."""
        ...

    def secrets(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> tuple[str, ...]:
        """Return the texts that `params` withholds, lest an error's message quotes one."""
        ...


class Step:
    """A declaration made ready for recording.

    Attributes:
        name: Span type.
        ceiling: For an agent that forbids something, what: a call of it adds this ceiling.
        agents: Identifiers of the agents in whose runs it was used.
        made: The plan of capture once `plan` has made it; the path of a call looks here first.
    """

    __slots__ = (
        "_find_risk",
        "_make_plan",
        "_place",
        "_verdicts",
        "agents",
        "ceiling",
        "made",
        "name",
    )

    def __init__(
        self,
        name: str,
        make_plan: Callable[[], Plan],
        *,
        place: str | None = None,
        find_risk: Callable[[], DataRisk | None] = lambda: None,
        ceiling: Ceiling | None = None,
    ) -> None:
        """Keep how to make the rest: signatures are read at the first call, not at import.

        Args:
            name: Span type.
            make_plan: Makes the plan of capture.
            place: File and line of the declaration; a block has none, it stands where it begins.
            find_risk: Returns what it may do and whose data flows through it.
            ceiling: For an agent, what it forbids.
        """
        self.name = name
        self.ceiling = ceiling
        self.agents: set[str] = set()
        self._place = place
        self._find_risk = find_risk
        self._make_plan = make_plan
        self.made: Plan | None = None
        self._verdicts: dict[tuple[Ceilings, bool], Verdict] = {}

    def plan(self) -> Plan:
        """Return the plan of capture, made at the first use."""
        if self.made is None:
            self.made = self._make_plan()
        return self.made

    @property
    def risk(self) -> DataRisk | None:
        """What it may do and whose data flows through it, as far as anything says so."""
        return self._find_risk()

    @property
    def place(self) -> str:
        """File and line of the declaration; of a block, while it begins, its own."""
        return self._place or caller() or "<unknown>"

    def verdict(self, ceilings: Ceilings, *, strict: bool) -> Verdict | None:
        """Return where this step exceeds *ceilings*; None after a fault of ours.

        Args:
            ceilings: What the agents allow.
            strict: What the step leaves unknown exceeds a ceiling that forbids it.
        """
        return self._verdicts.get((ceilings, strict)) or self._judge(ceilings, strict=strict)

    @guarded("the policy")
    def _judge(self, ceilings: Ceilings, *, strict: bool) -> Verdict:
        found = verdict(ceilings, self.name, self.risk, strict=strict)
        if len(self._verdicts) >= MAX_VERDICTS:
            self._verdicts.clear()
        self._verdicts[ceilings, strict] = found
        return found
