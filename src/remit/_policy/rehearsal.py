"""Effect of an agent's remit on each of its steps, and the steps through which data can leave.

The policy decides the same about each call. Here it is decided before any: from declared words
alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from msgspec import Struct

from remit._policy.asks import asked_words
from remit._policy.leaving import AGENT, Leaves, ways_out
from remit._policy.limits import asks_of, limits_in, violated_limits
from remit._policy.words import WITHOUT_EFFECT, DeclaredStep, declared_words
from remit.errors import SIDES
from remit.models.data_risk import DataRisk

Reasons: TypeAlias = dict[str, tuple[str, ...]]
"""By step, the actions and categories that decide; a category of one side names the side."""


class Rehearsal(Struct, frozen=True):
    """Steps that an agent may take, sorted by name.

    Attributes:
        allowed: The steps that it may take under every setting of `on_violation`.
        undeclared: Steps that do not declare all actions and categories that it forbids or
            excludes: they run under `observe`, and are denied under `deny` and `terminate`.
        asked: Steps that declare an action that it asks a person about, or do not declare whether
            they take it: they run under `observe`, and after a yes under `deny` and `terminate`.
        denied: Steps that declare an action or category that it forbids or excludes.
        leaves: By category that a step takes or gives, the steps through which it can leave, and
            how: `declared` or `not ruled out`.
    """

    allowed: tuple[str, ...]
    asked: Reasons
    undeclared: Reasons
    denied: Reasons
    leaves: dict[str, Mapping[str, Leaves]]


def rehearse(remit: DataRisk | None, steps: Iterable[DeclaredStep]) -> Rehearsal:
    """Return the *steps* that an agent with this *remit* may take, as the policy decides it.

    Only the agent's own remit is compared: that of an agent around it applies as well.
    """
    limits = limits_in(declared_words(remit))

    def reasons(step: DeclaredStep, *, strict: bool) -> tuple[str, ...]:
        sides: dict[str, list[str]] = {}
        for limit, _ in violated_limits(limits, step.words, strict=strict):
            sides.setdefault(limit.name, []).append(SIDES.get(limit.part, ""))
        return tuple(f"{name}{in_[0] if len(in_) == 1 else ''}" for name, in_ in sides.items())

    steps = sorted(steps, key=lambda step: step.name)
    denied = {step.name: words for step in steps if (words := reasons(step, strict=False))}
    accepted = [step for step in steps if step.name not in denied]
    undeclared = {
        step.name: words
        for step in accepted
        if step.kind not in WITHOUT_EFFECT and (words := reasons(step, strict=True))
    }
    asks = asks_of(remit)
    asked = {
        step.name: words
        for step in accepted
        if step.name not in undeclared
        and not (step.is_agent or step.kind == AGENT)
        and (words := asked_words(asks, step.words, strict=step.kind not in WITHOUT_EFFECT))
    }
    allowed = tuple(
        step.name for step in accepted if step.name not in undeclared and step.name not in asked
    )
    return Rehearsal(allowed, asked, undeclared, denied, ways_out(accepted))
